//! What intake's log says: authorisations, and what persons have approved under them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, anyhow};
use async_trait::async_trait;
use haetae_core::{
    AgencyId, Amount, Asset, Authorisation, AuthorisationId, CaseRef, ExchangeId, LegId, Moment, RequestId, Subject,
    Violation, Violations, WatchId,
};
use haetae_ledger::{FollowedEntry, HandleError, Handler};
use haetae_wire::intake::v1::{RequestGranted, StandingFreezeTerms, halt_scope, request_content::Kind};
use haetae_wire::read;
use haetae_wire::signed::open_authorisation;
use prost::Message;
use sqlx::PgConnection;

use crate::authority::{Authority, Command, Named};
use crate::brake::{self, Scope};
use crate::decisions::{Decisions, now};
use crate::standing::{Line, Standing, Terms};
use crate::{db, facts};

/// Follows intake.
pub(crate) struct Granted(pub(crate) Decisions);

#[async_trait]
impl Handler for Granted {
    async fn handle(&self, tx: &mut PgConnection, entry: &FollowedEntry) -> Result<(), HandleError> {
        match entry.kind.as_str() {
            "authorisation" => {
                // One that does not verify is parked with its case: nothing is done under it, and it is not lost.
                let authorisation =
                    open_authorisation(&entry.payload, &self.0.orders.keyring).map_err(HandleError::poison)?;
                Ok(db::store_authorisation(tx, &authorisation, &entry.payload).await?)
            }
            "request-granted" => self.granted(tx, &RequestGranted::decode(entry.payload.as_slice())?).await,
            _ => Ok(()),
        }
    }
}

/// What every grant says.
struct Grant {
    request: RequestId,
    case: CaseRef,
    freeze_until: Option<Moment>,
    authorisations: Vec<(ExchangeId, AuthorisationId)>,
}

impl Granted {
    async fn granted(&self, tx: &mut PgConnection, fact: &RequestGranted) -> Result<(), HandleError> {
        let kind = fact.content.as_ref().and_then(|content| content.kind.as_ref());
        let terms = match kind {
            Some(Kind::Watch(watch)) => watch.standing_freeze.as_ref(),
            Some(Kind::StandingFreeze(standing)) => standing.terms.as_ref(),
            _ => None,
        };
        let concerns_freezing = matches!(
            kind,
            Some(Kind::Freeze(_) | Kind::StandingFreeze(_) | Kind::Release(_) | Kind::Halt(_) | Kind::Resume(_))
        );
        if terms.is_none() && !concerns_freezing {
            return Ok(());
        }
        let grant = read_all(|v| read_grant(fact, v))?;
        db::take_turn(tx).await?;
        match kind {
            Some(Kind::Freeze(freeze)) => {
                let caps = read_all(|v| read::amounts(v, "content.freeze.caps", &freeze.caps))?;
                self.freeze(tx, grant, &caps).await
            }
            Some(Kind::Release(release)) => {
                let (of, legs) = read_all(|v| {
                    let of = read::parse::<RequestId>(
                        v,
                        "content.release.frozen_by_request_id",
                        &release.frozen_by_request_id,
                    );
                    let legs = read::parse_set::<LegId>(v, "content.release.leg_ids", &release.leg_ids);
                    Some((of?, legs?))
                })?;
                self.release(tx, &grant, of, legs).await
            }
            Some(Kind::Halt(halt)) => {
                let scope = read_scope(halt.scope.as_ref().and_then(|s| s.scope.as_ref()), &grant.case.agency)?;
                let (request, case) = (grant.request, grant.case.clone());
                let command = brake::Command::Halt { request, scope, case };
                self.0.move_brake(tx, request, &grant.case, command, now()).await
            }
            Some(Kind::Resume(resume)) => {
                let scope = read_scope(resume.scope.as_ref().and_then(|s| s.scope.as_ref()), &grant.case.agency)?;
                self.0.move_brake(tx, grant.request, &grant.case, brake::Command::Resume { scope }, now()).await
            }
            _ => {
                let terms = terms.context("a standing freeze without terms").map_err(HandleError::Poison)?;
                let watch = read_all(|v| read::parse::<WatchId>(v, "watch_id", &fact.watch_id))?;
                self.arm(tx, grant, watch, terms).await
            }
        }
    }

    /// Arms a standing freeze, and serves what its watch has found so far.
    async fn arm(
        &self,
        tx: &mut PgConnection,
        grant: Grant,
        watch: WatchId,
        wire: &StandingFreezeTerms,
    ) -> Result<(), HandleError> {
        let caps = read_all(|v| read::amounts(v, "terms.caps", &wire.caps))?;
        let authorisations = self.authorisations(tx, &grant).await?;
        let until = until(&grant, &authorisations)?;
        let lines = lines(&authorisations);
        let terms = Terms {
            watch,
            case: grant.case.clone(),
            caps,
            until,
            legs_per_hour: wire.max_legs_per_hour,
            holders: wire.max_holders,
            lines: lines.clone(),
        };
        let armed = facts::armed(grant.request, &terms, now());
        let authority = Authority {
            request: grant.request,
            case: grant.case,
            lines,
            standing: Some(Standing::new(terms)),
            legs: BTreeMap::new(),
            over: false,
        };
        if !db::create(tx, &authority).await? {
            return Ok(());
        }
        self.0.log.append(tx, armed).await?;
        for found in db::arrivals_of(tx, watch).await? {
            self.0.decide(tx, grant.request, Command::Arrived(found), now()).await?;
        }
        Ok(())
    }

    /// Freezes at the accounts that the authorisations name. What was approved is a cap for each account; an
    /// authorisation's cap is over all of them, and would let one bystander's account answer for the others.
    async fn freeze(
        &self,
        tx: &mut PgConnection,
        grant: Grant,
        caps: &BTreeMap<Asset, Amount>,
    ) -> Result<(), HandleError> {
        let authorisations = self.authorisations(tx, &grant).await?;
        let until = until(&grant, &authorisations)?;
        let mut accounts = Vec::new();
        for authorisation in &authorisations {
            let Subject::Targets(targets) = &authorisation.subject else {
                return Err(HandleError::Poison(anyhow!("a freeze of accounts whose authorisation names none")));
            };
            for target in targets {
                let here = |asset: &Asset| asset.chain() == target.account.chain();
                accounts.extend(caps.iter().filter(|(asset, _)| here(asset)).map(|(asset, cap)| Named {
                    exchange: authorisation.exchange.clone(),
                    line: authorisation.line,
                    target: target.clone(),
                    asset: asset.clone(),
                    cap: *cap,
                    until,
                }));
            }
        }
        let authority = Authority {
            request: grant.request,
            case: grant.case,
            lines: lines(&authorisations),
            standing: None,
            legs: BTreeMap::new(),
            over: false,
        };
        if db::create(tx, &authority).await? {
            self.0.decide(tx, grant.request, Command::Freeze(accounts), now()).await?;
        }
        Ok(())
    }

    async fn release(
        &self,
        tx: &mut PgConnection,
        grant: &Grant,
        of: RequestId,
        legs: BTreeSet<LegId>,
    ) -> Result<(), HandleError> {
        if !legs.is_empty() {
            return self.0.decide(tx, of, Command::Release(legs), now()).await;
        }
        if db::load(tx, of).await?.is_some() {
            return self.0.decide(tx, of, Command::End, now()).await;
        }
        // Nothing was ever frozen under it, as with a watch that only watches; those who wait for its end must hear it.
        self.0.log.append(tx, facts::ended(of, &grant.case, now())).await?;
        Ok(())
    }

    /// The authorisations of a grant. They come before it in the log, so one that is missing was parked.
    async fn authorisations(&self, tx: &mut PgConnection, grant: &Grant) -> Result<Vec<Authorisation>, HandleError> {
        let mut all = Vec::new();
        for (exchange, id) in &grant.authorisations {
            let signed = db::authorisation(tx, *id).await?;
            let signed = signed.context("an authorisation of the grant is missing").map_err(HandleError::Poison)?;
            let authorisation = open_authorisation(&signed, &self.0.orders.keyring).map_err(HandleError::poison)?;
            if authorisation.exchange != *exchange || authorisation.request != grant.request {
                return Err(HandleError::Poison(anyhow!("an authorisation is of another request or exchange")));
            }
            all.push(authorisation);
        }
        Ok(all)
    }
}

fn lines(authorisations: &[Authorisation]) -> BTreeMap<ExchangeId, Line> {
    let line = |authorisation: &Authorisation| Line {
        id: authorisation.line,
        valid_until: authorisation.valid_until,
        legs_per_hour: authorisation.budgets.max_legs_per_hour,
    };
    authorisations.iter().map(|authorisation| (authorisation.exchange.clone(), line(authorisation))).collect()
}

/// When freezes end: as granted, and never later than an exchange was told.
fn until(grant: &Grant, authorisations: &[Authorisation]) -> Result<Moment, HandleError> {
    let told = authorisations.iter().filter_map(|authorisation| authorisation.freeze_until);
    let until = told.chain(grant.freeze_until).min();
    until.context("a freeze without an end").map_err(HandleError::Poison)
}

fn read_grant(fact: &RequestGranted, v: &mut Violations) -> Option<Grant> {
    let request = read::parse(v, "request_id", &fact.request_id);
    let case = read::required::<_, CaseRef>(v, "case", fact.case.as_ref());
    let freeze_until = read::moment_optional(v, "freeze_until", fact.freeze_until.as_ref());
    let authorisations: Vec<_> = fact
        .authorisations
        .iter()
        .enumerate()
        .map(|(i, wire)| {
            v.within(format!("authorisations[{i}]"), |v| {
                let exchange = read::parse::<ExchangeId>(v, "exchange", &wire.exchange);
                let id = read::parse::<AuthorisationId>(v, "authorisation_id", &wire.authorisation_id);
                Some((exchange?, id?))
            })
        })
        .collect();
    Some(Grant {
        request: request?,
        case: case?,
        freeze_until: freeze_until?,
        authorisations: authorisations.into_iter().collect::<Option<_>>()?,
    })
}

fn read_scope(wire: Option<&halt_scope::Scope>, agency: &AgencyId) -> Result<Scope, HandleError> {
    read_all(|v| match read::present(v, "scope", wire)? {
        halt_scope::Scope::Everything(_) => Some(Scope::Everything),
        halt_scope::Scope::Exchange(exchange) => read::parse(v, "scope.exchange", exchange).map(Scope::Exchange),
        halt_scope::Scope::CaseNumber(number) => {
            let number = read::text(v, "scope.case_number", number, 1..=100)?;
            Some(Scope::Case { agency: agency.clone(), number })
        }
    })
}

/// Reads a fact; one with faults will have them for ever.
pub(crate) fn read_all<T>(read: impl FnOnce(&mut Violations) -> Option<T>) -> Result<T, HandleError> {
    let mut violations = Violations::new();
    let value = read(&mut violations);
    violations.finish(value).map_err(|faults| {
        let faults: Vec<String> =
            faults.iter().map(|Violation { field, description, .. }| format!("{field} {description}")).collect();
        HandleError::Poison(anyhow!("the fact has faults: {}", faults.join("; ")))
    })
}
