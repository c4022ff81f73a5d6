//! How a service stands, for intake to tell operators.

use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use haetae_core::{Moment, Reason};
use haetae_ledger::{
    FollowerStanding, Log, followers,
    parked::{self, Parked},
    replica,
};
use haetae_wire::{
    convert::timestamp,
    operations::v1::{
        ChainState, FollowerStatus, GetParkedRequest, GetParkedResponse, GetStatusRequest, GetStatusResponse,
        HaltState, LineState, LogStatus, Obstacle, ParkedEntry, Replica, ServiceStatus,
        status_service_server::StatusService,
    },
};
use sha2::{Digest, Sha256};
use tonic::{Request, Response, Status};

use crate::{operations::parked_id, refuse};

/// Subjects listed at most.
const MOST_PARKED: u32 = 1_000;

/// What a follower that goes on has passed: entries that are older than this.
const AGED: Duration = Duration::from_secs(60);

/// The longest text of an error that is passed on, in characters.
const ERROR: usize = 500;

/// What only some services have to say of themselves.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// The chains it reads.
    pub chains: Vec<ChainState>,
    /// The line to its exchange.
    pub line: Option<LineState>,
    /// Halts in force.
    pub halts: Vec<HaltState>,
}

type Look = dyn Fn() -> BoxFuture<'static, Result<Own, sqlx::Error>> + Send + Sync;

/// Answers how a service stands. Cheap to clone.
#[derive(Clone)]
pub struct StatusApi {
    service: Arc<str>,
    log: Log,
    /// The followers that are run; cursors of others are left from former times.
    followers: Arc<BTreeSet<String>>,
    own: Arc<Look>,
}

impl StatusApi {
    /// For the service of this name, with its log, the followers it runs, and what only it has to say.
    pub fn new<F, R>(service: &str, log: Log, followers: BTreeSet<String>, own: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<Own, sqlx::Error>> + Send + 'static,
    {
        Self { service: service.into(), log, followers: Arc::new(followers), own: Arc::new(move || own().boxed()) }
    }

    /// How the service stands.
    ///
    /// # Errors
    /// When its database fails.
    pub async fn status(&self) -> Result<ServiceStatus, sqlx::Error> {
        let pool = self.log.pool();
        let (standing, replicas, followers, obstacles, own) = tokio::try_join!(
            self.log.standing(Moment::now_utc() - AGED),
            replica::list(pool),
            followers(pool),
            replica::obstacles(pool),
            (self.own)()
        )?;
        let followers = followers.into_iter().filter(|follower| self.followers.contains(&follower.name));
        let followers = followers.map(|follower| {
            let keeps: Vec<_> = obstacles.iter().filter(|(_, found)| found.follower == follower.name).collect();
            tell_follower(follower, keeps)
        });
        Ok(ServiceStatus {
            service: self.service.to_string(),
            replicas: replicas.into_iter().map(tell_replica).collect(),
            log: Some(LogStatus {
                origin: self.log.origin().to_owned(),
                size: standing.size,
                newest_at: standing.newest_at.map(timestamp),
                oldest_unsealed_at: standing.oldest_unsealed_at.map(timestamp),
                aged_size: standing.aged_size,
            }),
            followers: followers.collect(),
            chains: own.chains,
            line: own.line,
            halts: own.halts,
        })
    }

    /// What its followers could not handle.
    ///
    /// # Errors
    /// When its database fails.
    pub async fn parked(&self) -> Result<Vec<ParkedEntry>, sqlx::Error> {
        let parked = parked::list(self.log.pool(), MOST_PARKED).await?;
        Ok(parked.into_iter().map(|parked| tell_parked(&self.service, parked)).collect())
    }
}

#[tonic::async_trait]
impl StatusService for StatusApi {
    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        let status = self.status().await.map_err(unavailable)?;
        Ok(Response::new(GetStatusResponse { status: Some(status) }))
    }

    async fn get_parked(&self, _: Request<GetParkedRequest>) -> Result<Response<GetParkedResponse>, Status> {
        let parked = self.parked().await.map_err(unavailable)?;
        Ok(Response::new(GetParkedResponse { parked }))
    }
}

/// The database's words may hold more than a caller should see.
fn unavailable(error: sqlx::Error) -> Status {
    tracing::error!(%error, "the status cannot be read");
    refuse(Reason::Internal).into()
}

fn tell_replica(replica: replica::Replica) -> Replica {
    Replica {
        name: replica.name,
        version: replica.version,
        started_at: Some(timestamp(replica.started_at)),
        seen_at: Some(timestamp(replica.seen_at)),
        draining_since: replica.draining_since.map(timestamp),
    }
}

fn tell_follower(follower: FollowerStanding, obstacles: Vec<&(String, replica::Obstacle)>) -> FollowerStatus {
    let tell = |(replica, found): &(String, replica::Obstacle)| Obstacle {
        replica: replica.clone(),
        stopped: found.stopped,
        since: Some(timestamp(found.since)),
        what: cut(&found.what),
    };
    FollowerStatus {
        follows: follows(&follower.name).to_owned(),
        name: follower.name,
        next_position: follower.next_position,
        moved_at: Some(timestamp(follower.moved_at)),
        behind: None,
        late: None,
        parked: follower.parked,
        obstacles: obstacles.into_iter().map(tell).collect(),
    }
}

fn tell_parked(service: &str, parked: Parked) -> ParkedEntry {
    ParkedEntry {
        service: service.to_owned(),
        parked_id: parked_id(&parked.follower, parked.position),
        follower: parked.follower,
        position: parked.position,
        kind: parked.kind,
        stream: parked.stream,
        subject: without_case_number(&parked.subject),
        error: cut(&parked.error),
        since: Some(timestamp(parked.since)),
        tries: parked.tries,
        waiting: parked.waiting,
        retrying: parked.retrying,
    }
}

/// The service whose log a follower of this name follows.
fn follows(follower: &str) -> &str {
    let of = follower.split_once("<-").map_or(follower, |(_, of)| of);
    if of == crate::operations::FOLLOWED { "intake" } else { of }
}

/// Operators of one agency are not to read the case numbers of others; that two entries are of one case they may know.
fn without_case_number(subject: &str) -> String {
    let of_case = || {
        let (agency, number) = subject.strip_prefix("case/")?.split_once('/')?;
        let digest = Sha256::digest(number);
        let mark: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        Some(format!("case/{agency}/#{mark}"))
    };
    of_case().unwrap_or_else(|| subject.to_owned())
}

fn cut(text: &str) -> String {
    text.chars().take(ERROR).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_number_is_not_shown_and_cases_are_told_apart() {
        let one = without_case_number("case/knp/2026-cyber-00412");
        assert!(one.starts_with("case/knp/#") && !one.contains("00412"), "{one}");
        assert_eq!(one, without_case_number("case/knp/2026-cyber-00412"));
        assert_ne!(one, without_case_number("case/knp/2026-cyber-00413"));
        assert_eq!(without_case_number("leg/1b2e"), "leg/1b2e");
    }

    #[test]
    fn a_followers_name_says_whom_it_follows() {
        for (name, followed) in [
            ("freeze<-tracking", "tracking"),
            ("freeze<-connector/upbit", "connector/upbit"),
            ("freeze<-intake/operations", "intake"),
            ("freeze<-connector/operations", "connector/operations"),
        ] {
            assert_eq!(follows(name), followed);
        }
    }
}
