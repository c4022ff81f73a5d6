//! What operators have done, as intake's log says it: parked entries tried again, replicas sent away.
//!
//! It is followed apart from everything else in that log, so that it gets through while something else waits.

use async_trait::async_trait;
use haetae_ledger::{FollowedEntry, HandleError, Handler, parked, replica};
use haetae_wire::operations::v1::{DrainAsked, RetryAsked};
use prost::Message;
use sqlx::PgConnection;

/// What the follower's name says it follows.
pub(crate) const FOLLOWED: &str = "intake/operations";

/// Does what operators want of one service, as intake's log says it.
#[derive(Clone, Debug)]
pub struct Operations {
    service: String,
    program: &'static str,
}

#[async_trait]
impl Handler for Operations {
    async fn handle(&self, tx: &mut PgConnection, entry: &FollowedEntry) -> Result<(), HandleError> {
        match entry.kind.as_str() {
            "retry-asked" => {
                let asked = RetryAsked::decode(entry.payload.as_slice())?;
                if asked.service == self.service {
                    self.retry(tx, &asked.parked_id).await?;
                }
                Ok(())
            }
            "drain-asked" => {
                let asked = DrainAsked::decode(entry.payload.as_slice())?;
                if asked.service == self.service && !replica::ask_to_drain(tx, &asked.replica).await? {
                    tracing::info!(replica = asked.replica, "is gone already and need not be drained");
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Operations {
    /// For the service of this name, such as `connector/upbit`, the names of whose followers begin with `program`.
    pub fn new(service: impl Into<String>, program: &'static str) -> Self {
        Self { service: service.into(), program }
    }

    async fn retry(&self, tx: &mut PgConnection, id: &str) -> Result<(), HandleError> {
        let Some((of, position)) = read_parked_id(id) else {
            return Err(HandleError::Poison(anyhow::anyhow!("a parked entry is named in no form of ours")));
        };
        if !parked::retry(tx, &format!("{}<-{of}", self.program), position).await? {
            tracing::info!(parked = id, "is not parked any more and need not be tried again");
        }
        Ok(())
    }
}

/// The name of a parked entry for people: the followed log and the position in it.
pub(crate) fn parked_id(follower: &str, position: u64) -> String {
    let of = follower.split_once("<-").map_or(follower, |(_, of)| of);
    format!("{of}@{position}")
}

fn read_parked_id(id: &str) -> Option<(&str, u64)> {
    let (of, position) = id.rsplit_once('@')?;
    Some((of, position.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_parked_entry_is_read_back() {
        for (follower, id) in [("freeze<-tracking", "tracking@57"), ("freeze<-connector/upbit", "connector/upbit@0")] {
            let position = id.rsplit('@').next().unwrap().parse().unwrap();
            assert_eq!(parked_id(follower, position), id);
            let (of, read) = read_parked_id(id).unwrap();
            assert_eq!((format!("freeze<-{of}").as_str(), read), (follower, position));
        }
        assert_eq!(read_parked_id("tracking"), None);
        assert_eq!(read_parked_id("tracking@-1"), None);
    }
}
