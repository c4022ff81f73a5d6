//! What is done about intake's facts: authorisations are kept, watches begin, confirm-address requests are asked, labels
//! are kept.

use std::sync::Arc;

use anyhow::anyhow;
use async_trait::async_trait;
use haetae_core::{Authorisation, ChainId, Moment, Reason, RequestId, Target};
use haetae_ledger::{FollowedEntry, HandleError, Handler};
use haetae_wire::intake::v1::RequestGranted;
use haetae_wire::signed::open_authorisation;
use prost::Message as _;
use sqlx::PgConnection;

use crate::db;
use crate::db::watch::{CatchingUp, Line, WatchRow};
use crate::grant::{Grant, Start, Wanted, lines, read_grant};
use crate::labels;
use crate::question::Asker;
use crate::tell;
use crate::terms::Terms;
use crate::timers;
use crate::voice::{Voice, unasked};
use crate::watched::{Stored, Watched};

/// Follows intake.
pub(crate) struct Intake {
    pub(crate) voice: Arc<Voice>,
    /// The chains that are read.
    pub(crate) chains: Vec<ChainId>,
}

#[async_trait]
impl Handler for Intake {
    async fn handle(&self, tx: &mut PgConnection, entry: &FollowedEntry) -> Result<(), HandleError> {
        match entry.kind.as_str() {
            "authorisation" | "request-granted" => self.act(tx, &entry.kind, &entry.payload).await,
            _ => labels::handle(tx, entry).await,
        }
    }
}

impl Intake {
    /// Acts on a fact of intake's.
    pub(crate) async fn act(&self, tx: &mut PgConnection, kind: &str, payload: &[u8]) -> Result<(), HandleError> {
        match kind {
            "authorisation" => self.keep(tx, payload).await,
            "request-granted" => {
                let granted = RequestGranted::decode(payload)?;
                let grant = read_grant(&granted).map_err(|faults| {
                    HandleError::poison(anyhow!("a grant with {} faults: {:?}", faults.len(), fields(&faults)))
                })?;
                self.begin(tx, grant, self.voice.now()).await
            }
            _ => Ok(()),
        }
    }

    async fn keep(&self, tx: &mut PgConnection, envelope: &[u8]) -> Result<(), HandleError> {
        let authorisation = open_authorisation(envelope, &self.voice.keyring).map_err(HandleError::poison)?;
        Ok(db::authorisation::insert(tx, &authorisation, envelope).await?)
    }

    async fn begin(&self, tx: &mut PgConnection, grant: Grant, now: Moment) -> Result<(), HandleError> {
        if grant.wanted == Wanted::Nothing {
            return Ok(());
        }
        let envelopes = db::authorisation::by_id(tx, &grant.authorisations).await?;
        if envelopes.len() != grant.authorisations.len() {
            return Err(HandleError::poison(anyhow!("a grant without all its authorisations")));
        }
        let authorisations: Vec<Authorisation> = envelopes
            .iter()
            .map(|envelope| open_authorisation(envelope, &self.voice.keyring))
            .collect::<Result<_, _>>()
            .map_err(HandleError::poison)?;
        let lines = lines(&authorisations);
        match grant.wanted {
            Wanted::Watch { terms, until, start } => self.watch(tx, terms, until, start, &lines, now).await,
            Wanted::Confirmation { target } => {
                self.confirm(tx, grant.request, &grant.subject, &target, &lines, now).await
            }
            Wanted::End { watch } => {
                timers::end(tx, &self.voice, watch, now).await?;
                Ok(())
            }
            Wanted::Nothing => Ok(()),
        }
    }

    /// Puts the root under watch: every block after the chain's head, which cannot move meanwhile, is matched against it. One
    /// that begins in the past is brought there first.
    async fn watch(
        &self,
        tx: &mut PgConnection,
        terms: Terms,
        until: Moment,
        start: Option<Start>,
        lines: &[Line],
        now: Moment,
    ) -> Result<(), HandleError> {
        let chain = terms.root.account.chain().clone();
        if !self.chains.contains(&chain) {
            // Whoever asked must hear of it, and what else there is in the case must not wait behind it.
            let refused = tell::watch_refused(&terms, Reason::ChainNotSupported, now);
            return Ok(self.voice.append(tx, vec![refused]).await?);
        }
        let Some(head) = db::chain::lock_head(tx, &chain).await? else {
            return Err(HandleError::retry(anyhow!("the chain {chain} has not been reached yet")));
        };
        let terms = Terms { exchanges: u32::try_from(lines.len()).unwrap_or(u32::MAX), ..terms };
        let catching_up = start.as_ref().map(|_| CatchingUp { read: None, head: head.at.number });
        let active = catching_up.is_none();
        let row = WatchRow { terms: terms.clone(), active, active_after: head.at.number, until, catching_up };
        let version = db::chain::bump(tx, &chain).await?;
        if !db::watch::insert(tx, &row, start.as_ref(), lines, version).await? {
            return Ok(());
        }
        let watched = Watched::restore(terms, Stored::default()).map_err(HandleError::poison)?;
        let kind = if active { tell::WATCH_ACTIVE } else { tell::WATCH_CATCHING_UP };
        let told = tell::watch_moved(kind, &row, &watched, now);
        Ok(self.voice.append(tx, vec![told]).await?)
    }

    async fn confirm(
        &self,
        tx: &mut PgConnection,
        request: RequestId,
        subject: &str,
        target: &Target,
        lines: &[Line],
        now: Moment,
    ) -> Result<(), HandleError> {
        if !db::question::insert_confirmation(tx, request, target).await? {
            return Ok(());
        }
        let ids: Vec<_> = lines.iter().map(|line| line.line.0).collect();
        let in_force = db::authorisation::in_force(tx, &ids).await?;
        let mut told = Vec::new();
        let mut questions = Vec::new();
        for line in lines {
            let mut question = unasked(Asker::Request(request), subject.to_owned(), line, target.clone(), None);
            told.extend(self.voice.ask(&mut question, in_force.get(&line.line).map(Vec::as_slice), now));
            questions.push(question);
        }
        db::question::insert(tx, &questions).await?;
        Ok(self.voice.append(tx, told).await?)
    }
}

fn fields(faults: &[haetae_core::Violation]) -> Vec<&str> {
    faults.iter().map(|fault| fault.field.as_str()).collect()
}
