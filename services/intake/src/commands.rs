//! Carrying out a decision: what it appends to the log, changes in the tables and tells those who follow, in the
//! caller's transaction.

use std::collections::BTreeSet;

use haetae_core::{
    ChainId, ExchangeId, LegalBasis, Moment, PersonId, Reason, RequestId, Violation, Violations, WatchId,
};
use haetae_ledger::{AppendError, Expected, HandleError, Log, NewEntry};
use haetae_seal::dsse::SigningKey;
use haetae_wire::{
    convert::timestamp,
    intake::v1::{self, follow_updates_response::Update},
    keys::Keyring,
    registry::Registry,
    signed,
};
use prost::Message;
use sqlx::PgConnection;

use crate::{
    approval::{self, Actor, Command, Event, State},
    db::{self, Unit},
    grant::{self, Approved, Frozen, Granted, References, WatchInForce},
    proposal::{Asked, Proposal, Watch},
    request::Request,
    submission::{self, Law},
};

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{}", .0.name())]
    Refused(Reason),
    #[error("{} fields are at fault", .0.len())]
    Invalid(Vec<Violation>),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Append(#[from] AppendError),
    /// What is stored cannot be used any more.
    #[error("an authorisation in force does not open: {0}")]
    Stored(signed::EnvelopeFault),
}

impl From<Reason> for Fault {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}

impl From<Fault> for HandleError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Database(error) => error.into(),
            Fault::Append(error) => error.into(),
            other => Self::poison(other),
        }
    }
}

/// Who has something done, for the log.
#[derive(Clone, Debug)]
pub(crate) struct By {
    /// `person:<id>` or `service:<name>`.
    pub(crate) actor: String,
    pub(crate) person: String,
    pub(crate) system: String,
}

impl By {
    /// Intake by itself.
    pub(crate) fn service() -> Self {
        Self { actor: "service:intake".to_owned(), person: String::new(), system: String::new() }
    }
}

/// Who decides, and why where that is stated: with a rejection or cancellation, and where nobody can carry it out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said<'a> {
    pub(crate) by: &'a By,
    pub(crate) why: &'a str,
}

/// What a person submits.
pub(crate) struct Submission<'a> {
    pub(crate) id: RequestId,
    pub(crate) unit: &'a Unit,
    pub(crate) person: &'a PersonId,
    pub(crate) roles: &'a [String],
    pub(crate) by: &'a By,
    /// As it came; [`submission::parse`] has found no fault in it.
    pub(crate) content: &'a v1::RequestContent,
}

/// What every decision needs at hand.
pub(crate) struct Intake {
    pub(crate) log: Log,
    pub(crate) rules: haetae_core::LegalRules,
    pub(crate) registry: Registry,
    pub(crate) keyring: Keyring,
    /// The key for purpose `authorise`.
    pub(crate) key: SigningKey,
}

impl Intake {
    /// Takes in a request; grants it where nobody else need approve.
    pub(crate) async fn submit(
        &self,
        tx: &mut PgConnection,
        submission: Submission<'_>,
        now: Moment,
    ) -> Result<Request, Fault> {
        let Submission { id, unit, person, roles, by, content } = submission;
        if matches!(content.kind, Some(v1::request_content::Kind::Resume(_))) {
            db::updates::lock_several(tx).await?;
        }
        db::updates::lock_unit(tx, unit).await?;
        let law = Law { rules: &self.rules, agency: &unit.agency, now };
        let mut v = Violations::new();
        let proposal = submission::under(law, Some(content), &self.registry, &mut v);
        if let Some(proposal) = &proposal {
            let references = self.references(tx, unit, proposal).await?;
            grant::check_references(&mut v, proposal, &references, now);
            if let Ok(basis) = self.rules.basis(&proposal.basis) {
                grant::check_watches(&mut v, proposal, basis, &references);
            }
        }
        let proposal = v.finish(proposal).map_err(Fault::Invalid)?;
        approval::may_submit(Actor { person, roles }, proposal.asked.kind())?;

        let basis = self.rules.basis(&proposal.basis).map_err(Reason::from)?;
        let needed = needed(basis, unit, &proposal)?;
        let (life, events) = approval::submit(person, needed, now + basis.approve_within(), now);
        let awaiting = approval::Life { state: State::AwaitingApproval, ..life };
        let mut request = Request {
            id,
            system: by.system.clone(),
            case: haetae_core::CaseRef {
                agency: unit.agency.clone(),
                unit: unit.unit.clone(),
                number: proposal.case_number.clone(),
            },
            proposal,
            life: awaiting,
            submitted_at: now,
            reason: String::new(),
            watch: None,
            watch_until: None,
            freeze_until: None,
            ends_at: None,
            authorisations: Vec::new(),
            version: 0,
        };
        if !db::insert(tx, &request).await? {
            return Err(Reason::RequestIdReused.into());
        }
        let submitted = v1::RequestSubmitted { request: Some((&request).into()), system: by.system.clone() };
        let entry = own_entry(&request, "request-submitted", submitted.encode_to_vec(), by, now);
        self.append(tx, &mut request, vec![entry]).await?;
        self.carry_out(tx, &mut request, &events, by, now).await?;
        Ok(request)
    }

    /// Decides on a request of the unit and carries out what follows.
    pub(crate) async fn decide(
        &self,
        tx: &mut PgConnection,
        unit: &Unit,
        id: RequestId,
        command: Command<'_>,
        said: Said<'_>,
        now: Moment,
    ) -> Result<Request, Fault> {
        if matches!(command, Command::Approve(_)) && db::is_resume(tx, id).await? {
            db::updates::lock_several(tx).await?;
        }
        db::updates::lock_unit(tx, unit).await?;
        let mut request = db::own_for_update(tx, unit, id).await?.ok_or(Reason::NotFound)?;
        let events = approval::decide(&request.life, command, now)?;
        said.why.clone_into(&mut request.reason);
        self.carry_out(tx, &mut request, &events, said.by, now).await?;
        Ok(request)
    }

    /// Moves a request on without a person, where it stands so that it can.
    pub(crate) async fn advance(
        &self,
        tx: &mut PgConnection,
        id: RequestId,
        command: Command<'_>,
        now: Moment,
    ) -> Result<bool, Fault> {
        self.advance_because(tx, id, command, "", now).await
    }

    /// The same, and why.
    pub(crate) async fn advance_because(
        &self,
        tx: &mut PgConnection,
        id: RequestId,
        command: Command<'_>,
        why: &str,
        now: Moment,
    ) -> Result<bool, Fault> {
        let Some(unit) = db::unit_of(tx, id).await? else { return Ok(false) };
        match self.decide(tx, &unit, id, command, Said { by: &By::service(), why }, now).await {
            Ok(_) => Ok(true),
            Err(Fault::Refused(Reason::WrongState)) => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// Appends what has happened to a request, keeps it, and tells those who follow. The unit's row is held.
    async fn carry_out(
        &self,
        tx: &mut PgConnection,
        request: &mut Request,
        events: &[Event],
        by: &By,
        now: Moment,
    ) -> Result<(), Fault> {
        let mut entries = Vec::new();
        let mut signed = Vec::new();
        for event in events {
            request.life = approval::apply(request.life.clone(), event);
            let decided = || v1::RequestDecided {
                request_id: request.id.to_string(),
                person: by.person.clone(),
                system: by.system.clone(),
                reason: request.reason.clone(),
            };
            let moved = || {
                v1::RequestMoved { request_id: request.id.to_string(), reason: request.reason.clone() }.encode_to_vec()
            };
            let (kind, payload) = match event {
                Event::Approved(_) => ("request-approved", decided().encode_to_vec()),
                Event::Rejected => ("request-rejected", decided().encode_to_vec()),
                Event::Cancelled => ("request-cancelled", decided().encode_to_vec()),
                Event::Lapsed => ("request-lapsed", moved()),
                Event::TookEffect => ("request-in-effect", moved()),
                Event::Closed => ("request-closed", moved()),
                Event::Granted => {
                    let granted = self.grant(tx, request, now).await?;
                    request.take(&granted);
                    for authorisation in &granted.authorisations {
                        let envelope = signed::sign_authorisation(authorisation, &self.key);
                        entries.push(NewEntry {
                            stream: format!("authorisation/{}", authorisation.line),
                            expected: Expected::Version(u64::from(authorisation.amendment) - 1),
                            audience: Some(authorisation.exchange.to_string()),
                            ..own_entry(request, "authorisation", envelope.clone(), by, now)
                        });
                        signed.push((authorisation.clone(), envelope));
                    }
                    ("request-granted", granted_fact(request, &granted, now).encode_to_vec())
                }
            };
            entries.push(own_entry(request, kind, payload, by, now));
        }
        self.append(tx, request, entries).await?;
        db::save(tx, request).await?;
        for (authorisation, envelope) in &signed {
            db::outcome::insert_authorisation(tx, authorisation, envelope).await?;
        }
        self.tell(tx, request.id, &Unit::of(&request.case), Update::Request((&*request).into()), now).await?;
        if let (Asked::Resume(scope), true) = (&request.proposal.asked, events.contains(&Event::Granted)) {
            for halt in db::halts(tx, &request.case.agency, &scope.key()).await? {
                Box::pin(self.advance(tx, halt, Command::Close, now)).await?;
            }
        }
        Ok(())
    }

    /// Tells those who follow the unit's updates.
    pub(crate) async fn tell(
        &self,
        tx: &mut PgConnection,
        request: RequestId,
        unit: &Unit,
        update: Update,
        time: Moment,
    ) -> Result<(), sqlx::Error> {
        let body = v1::FollowUpdatesResponse {
            cursor: String::new(),
            time: Some(timestamp(time)),
            request_id: request.to_string(),
            update: Some(update),
        };
        db::updates::add(tx, unit, request, &body.encode_to_vec()).await
    }

    async fn append(&self, tx: &mut PgConnection, request: &mut Request, entries: Vec<NewEntry>) -> Result<(), Fault> {
        let stream = request.stream();
        let own = entries.iter().filter(|entry| entry.stream == stream).count() as u64;
        self.log.append_all(tx, entries).await?;
        request.version += own;
        Ok(())
    }

    async fn grant(&self, tx: &mut PgConnection, request: &Request, now: Moment) -> Result<Granted, Fault> {
        let basis = self.rules.basis(&request.proposal.basis).map_err(Reason::from)?;
        let references = self.references(tx, &Unit::of(&request.case), &request.proposal).await?;
        let approved = Approved {
            id: request.id,
            case: &request.case,
            proposal: &request.proposal,
            decisions: &request.life.decisions,
        };
        Ok(grant::grant(&approved, basis, &self.reach(basis, &request.proposal), &references, now)?)
    }

    /// The exchanges that a request is put to where it leaves that open: those that the basis reaches and that take
    /// deposits on the chain. An investigated address is told to nobody who cannot know it.
    fn reach(&self, basis: &LegalBasis, proposal: &Proposal) -> BTreeSet<ExchangeId> {
        let chain: Option<&ChainId> = match &proposal.asked {
            Asked::ConfirmAddress(target) => Some(target.account.chain()),
            Asked::Watch(watch) => Some(watch.root.account.chain()),
            _ => None,
        };
        self.registry
            .exchanges()
            .filter(|exchange| chain.is_none_or(|chain| exchange.chains.contains(chain)))
            .filter(|exchange| basis.exchange(&exchange.id).is_ok())
            .map(|exchange| exchange.id.clone())
            .collect()
    }

    /// What a proposal refers to, as far as the unit may see it.
    async fn references(&self, tx: &mut PgConnection, unit: &Unit, proposal: &Proposal) -> Result<References, Fault> {
        let mut references = References::default();
        match &proposal.asked {
            Asked::Watch(_) => {
                references.watches = db::watches::under_way(tx, &unit.agency, &proposal.case_number).await?;
            }
            Asked::StandingFreeze { watch, .. } | Asked::EndWatch(watch) => {
                references.watch = self.watch_in_force(tx, unit, *watch).await?;
            }
            Asked::Release { frozen_by, .. } => references.frozen = self.frozen(tx, unit, *frozen_by).await?,
            Asked::Resume(scope) => {
                references.halted = !db::halts(tx, &unit.agency, &scope.key()).await?.is_empty();
            }
            _ => {}
        }
        Ok(references)
    }

    async fn watch_in_force(
        &self,
        tx: &mut PgConnection,
        unit: &Unit,
        watch: WatchId,
    ) -> Result<Option<WatchInForce>, Fault> {
        let Some(id) = db::request_of_watch(tx, watch).await? else { return Ok(None) };
        let Some(request) = db::own_for_update(tx, unit, id).await? else { return Ok(None) };
        let (Asked::Watch(Watch { root, stolen, .. }), Some(until)) = (request.proposal.asked, request.watch_until)
        else {
            return Ok(None);
        };
        Ok(Some(WatchInForce {
            case_number: request.case.number,
            root,
            stolen,
            until,
            over: request.life.state == State::Closed || db::watches::has_ended(tx, watch).await?,
            exchanges: request.proposal.exchanges,
        }))
    }

    async fn frozen(&self, tx: &mut PgConnection, unit: &Unit, id: RequestId) -> Result<Option<Frozen>, Fault> {
        let Some(request) = db::own_for_update(tx, unit, id).await? else { return Ok(None) };
        let envelopes = db::outcome::lines_of(tx, id).await?;
        let lines = envelopes.iter().map(|envelope| signed::open_authorisation(envelope, &self.keyring));
        let legs = db::outcome::legs_of(tx, id).await?;
        Ok(Some(Frozen {
            case_number: request.case.number,
            lines: lines.collect::<Result<_, _>>().map_err(Fault::Stored)?,
            legs: legs.into_iter().map(|(leg, _)| leg).collect(),
        }))
    }
}

/// As many as the strictest of its kinds asks for.
fn needed(basis: &LegalBasis, unit: &Unit, proposal: &Proposal) -> Result<u32, Reason> {
    let mut most = 0;
    for kind in submission::kinds(&(&proposal.asked).into()) {
        most = most.max(basis.approvals(&unit.agency, *kind)?);
    }
    Ok(most)
}

/// An entry of the request's own stream.
fn own_entry(request: &Request, kind: &'static str, payload: Vec<u8>, by: &By, now: Moment) -> NewEntry {
    NewEntry {
        stream: request.stream(),
        expected: Expected::Version(request.version),
        kind,
        subject: request.subject(),
        actor: by.actor.clone(),
        audience: None,
        payload,
        time: now,
    }
}

fn granted_fact(request: &Request, granted: &Granted, now: Moment) -> v1::RequestGranted {
    v1::RequestGranted {
        request_id: request.id.to_string(),
        case: Some((&request.case).into()),
        content: Some((&request.proposal).into()),
        authorisations: request.refs(),
        watch_id: granted.watch.map(|watch| watch.to_string()).unwrap_or_default(),
        granted_at: Some(timestamp(now)),
        watch_until: granted.watch_until.map(timestamp),
        freeze_until: granted.freeze_until.map(timestamp),
        watch_not_before: granted.watch_not_before.map(timestamp),
    }
}
