//! What an approved request authorises: one authorisation for each exchange. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use haetae_core::{
    Act, Amount, Asset, Authorisation, AuthorisationId, Budgets, CaseRef, Decision, ExchangeId, LegId, LegalBasis,
    LegalGround, Moment, OrderKind, Reason, RequestId, Subject, Target, Violations, WatchId, derived,
};

use crate::{
    proposal::{Asked, Proposal, StandingTerms, Watch},
    submission::above_stolen,
};

/// A request that may be granted.
#[derive(Debug)]
pub(crate) struct Approved<'a> {
    pub(crate) id: RequestId,
    pub(crate) case: &'a CaseRef,
    pub(crate) proposal: &'a Proposal,
    /// Everyone who decided, in order of time.
    pub(crate) decisions: &'a [Decision],
}

/// What a request refers to, as it stands now.
#[derive(Clone, Debug, Default)]
pub(crate) struct References {
    /// The watch that a standing freeze is to be armed on, where the caller's unit has it.
    pub(crate) watch: Option<WatchInForce>,
    /// The request that a release is about, where the caller's unit has it.
    pub(crate) frozen: Option<Frozen>,
    /// Whether a halt of the scope that a resume names is in force.
    pub(crate) halted: bool,
    /// Watches of the case and of the agency that are under way, for one more.
    pub(crate) watches: (u64, u64),
}

#[derive(Clone, Debug)]
pub(crate) struct WatchInForce {
    pub(crate) case_number: String,
    pub(crate) root: Target,
    pub(crate) stolen: BTreeMap<Asset, Amount>,
    pub(crate) until: Moment,
    /// It ended before, or was never taken up.
    pub(crate) over: bool,
    /// The exchanges that the watch may ask; it finds arrivals at no others.
    pub(crate) exchanges: BTreeSet<ExchangeId>,
}

#[derive(Clone, Debug)]
pub(crate) struct Frozen {
    pub(crate) case_number: String,
    /// The authorisation in force of each line.
    pub(crate) lines: Vec<Authorisation>,
    /// The legs that freeze has told of.
    pub(crate) legs: BTreeSet<LegId>,
}

/// What follows from granting a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) authorisations: Vec<Authorisation>,
    /// The exchanges that it reaches, where the request could leave that open.
    pub(crate) exchanges: BTreeSet<ExchangeId>,
    /// The watch started or armed.
    pub(crate) watch: Option<WatchId>,
    pub(crate) watch_until: Option<Moment>,
    /// Before when a watch may not begin, where that is only known from the chain.
    pub(crate) watch_not_before: Option<Moment>,
    pub(crate) freeze_until: Option<Moment>,
    /// When its time is over by itself; none where it only ends otherwise.
    pub(crate) ends_at: Option<Moment>,
}

/// Notes where the case or the agency has as many watches as its legal basis allows.
pub(crate) fn check_watches(v: &mut Violations, proposal: &Proposal, basis: &LegalBasis, to: &References) {
    let (of_case, of_agency) = to.watches;
    if let (Asked::Watch(_), Err(full)) = (&proposal.asked, basis.another_watch(of_case, of_agency)) {
        v.add("content.watch", full.into(), full.to_string());
    }
}

/// The watch that a request starts.
pub(crate) fn watch_id(request: RequestId) -> WatchId {
    WatchId(derived("watch", &[&request.to_string()]))
}

/// Notes what is wrong with the things a proposal refers to.
pub(crate) fn check_references(v: &mut Violations, proposal: &Proposal, to: &References, now: Moment) {
    v.within("content", |v| match &proposal.asked {
        Asked::StandingFreeze { .. }
            if to.watch.as_ref().is_some_and(|watch| !proposal.exchanges.is_subset(&watch.exchanges)) =>
        {
            v.add("exchanges", Reason::FieldMalformed, "names an exchange that the watch does not ask");
        }
        Asked::StandingFreeze { terms, .. } => v.within("standing_freeze", |v| match &to.watch {
            None => v.add("watch_id", Reason::NotFound, "is no watch that the caller may see"),
            Some(watch) => {
                same_case(v, "watch_id", &watch.case_number, proposal);
                if watch.over || watch.until <= now {
                    v.add("watch_id", Reason::WrongState, "is a watch that is over");
                }
                for (asset, cap) in &terms.caps {
                    above_stolen(v, "terms.caps", watch.stolen.get(asset), *cap);
                }
            }
        }),
        Asked::Release { legs, .. } => v.within("release", |v| match &to.frozen {
            None => v.add("frozen_by_request_id", Reason::NotFound, "is no request that the caller may see"),
            Some(frozen) => {
                same_case(v, "frozen_by_request_id", &frozen.case_number, proposal);
                if !frozen.lines.iter().any(|line| line.permitted.contains(&OrderKind::Freeze)) {
                    v.add("frozen_by_request_id", Reason::WrongState, "is a request under which nothing was frozen");
                } else if frozen.lines.iter().all(ended) {
                    v.add("frozen_by_request_id", Reason::WrongState, "is released already");
                }
                if !legs.is_subset(&frozen.legs) {
                    v.add("leg_ids", Reason::NotFound, "holds a leg that is not one of this request");
                }
            }
        }),
        Asked::EndWatch(_) => v.within("end_watch", |v| match &to.watch {
            None => v.add("watch_id", Reason::NotFound, "is no watch that the caller may see"),
            Some(watch) => {
                same_case(v, "watch_id", &watch.case_number, proposal);
                if watch.over || watch.until <= now {
                    v.add("watch_id", Reason::WrongState, "is a watch that is over");
                }
            }
        }),
        Asked::Resume(_) if !to.halted => {
            v.within("resume", |v| v.add("scope", Reason::WrongState, "is not that of a halt in force"));
        }
        _ => {}
    });
}

fn same_case(v: &mut Violations, field: &str, number: &str, proposal: &Proposal) {
    if number != proposal.case_number {
        v.add(field, Reason::FieldMalformed, "belongs to another case than case_number says");
    }
}

fn ended(line: &Authorisation) -> bool {
    matches!(&line.act, Act::Cancel { legs } if legs.is_empty())
}

/// Grants a request. `exchanges` are all that its basis reaches.
///
/// # Errors
/// The [`Reason`] for which it cannot be granted any more: what it refers to, or its document, has ended meanwhile.
pub(crate) fn grant(
    approved: &Approved<'_>,
    basis: &LegalBasis,
    exchanges: &BTreeSet<ExchangeId>,
    references: &References,
    now: Moment,
) -> Result<Granted, Reason> {
    let proposal = approved.proposal;
    basis.document(proposal.asked.kind(), proposal.document.as_ref(), now)?;
    let mut v = Violations::new();
    check_references(&mut v, proposal, references, now);
    if !v.is_empty() {
        return Err(Reason::WrongState);
    }
    check_watches(&mut v, proposal, basis, references);
    if !v.is_empty() {
        return Err(Reason::TooManyWatches);
    }
    let named = if proposal.exchanges.is_empty() { exchanges } else { &proposal.exchanges };
    let grant = Grant { approved, basis, now };
    match &proposal.asked {
        Asked::ConfirmAddress(target) => Ok(grant.question(named, target)),
        Asked::Watch(watch) => Ok(grant.watch(named, watch)),
        Asked::StandingFreeze { watch, terms } => {
            let in_force = references.watch.as_ref().ok_or(Reason::NotFound)?;
            Ok(grant.standing_freeze(named, *watch, terms, in_force))
        }
        Asked::Freeze { targets, caps, period } => Ok(grant.freeze(named, targets, caps, *period)),
        Asked::Release { legs, .. } => {
            let frozen = references.frozen.as_ref().ok_or(Reason::NotFound)?;
            Ok(grant.release(&frozen.lines, legs))
        }
        // A brake is a fact of intake's log, which freeze and the connectors obey; no exchange is told.
        Asked::Halt(_) | Asked::Resume(_) => Ok(Granted::default()),
        Asked::EndWatch(watch) => Ok(Granted { watch: Some(*watch), ..Granted::default() }),
    }
}

struct Grant<'a> {
    approved: &'a Approved<'a>,
    basis: &'a LegalBasis,
    now: Moment,
}

/// What one authorisation of a grant allows.
struct Terms {
    permitted: BTreeSet<OrderKind>,
    subject: Subject,
    caps: BTreeMap<Asset, Amount>,
    valid_until: Moment,
    freeze_until: Option<Moment>,
    budgets: Budgets,
}

impl Grant<'_> {
    fn question(&self, exchanges: &BTreeSet<ExchangeId>, target: &Target) -> Granted {
        let terms = Terms {
            permitted: BTreeSet::from([OrderKind::ConfirmAddress]),
            subject: Subject::Targets(BTreeSet::from([target.clone()])),
            caps: BTreeMap::new(),
            valid_until: self.document_ends(self.now + self.basis.question_period()),
            freeze_until: None,
            budgets: Budgets { max_questions: 1, max_legs_per_hour: 0 },
        };
        self.granted(exchanges, &terms, None, None)
    }

    fn watch(&self, exchanges: &BTreeSet<ExchangeId>, watch: &Watch) -> Granted {
        let id = watch_id(self.approved.id);
        let standing = watch.standing_freeze.as_ref();
        let until = self.document_ends(self.now + watch.period);
        let terms = Terms {
            permitted: [Some(OrderKind::ConfirmAddress), standing.map(|_| OrderKind::Freeze)]
                .into_iter()
                .flatten()
                .collect(),
            subject: Subject::Watch { watch: id, root: watch.root.clone() },
            caps: standing.map(|terms| terms.caps.clone()).unwrap_or_default(),
            valid_until: until,
            freeze_until: standing.map(|terms| self.now + terms.period),
            budgets: Budgets {
                max_questions: watch.limits.max_questions,
                max_legs_per_hour: standing.map_or(0, |terms| terms.max_legs_per_hour),
            },
        };
        // Counted from when it was asked for: nobody is to lose by a late approval.
        let asked = self.approved.decisions.first().map_or(self.now, |asked| asked.at);
        let watch_not_before = watch.start.as_ref().and_then(|_| self.basis.not_before(asked));
        Granted { watch_not_before, ..self.granted(exchanges, &terms, Some(id), Some(until)) }
    }

    fn standing_freeze(
        &self,
        named: &BTreeSet<ExchangeId>,
        id: WatchId,
        terms: &StandingTerms,
        watch: &WatchInForce,
    ) -> Granted {
        let exchanges = named.intersection(&watch.exchanges).cloned().collect();
        let freeze_until = self.now + terms.period;
        let terms = Terms {
            permitted: BTreeSet::from([OrderKind::Freeze]),
            subject: Subject::Watch { watch: id, root: watch.root.clone() },
            caps: terms.caps.clone(),
            valid_until: self.document_ends(watch.until.min(freeze_until)),
            freeze_until: Some(freeze_until),
            budgets: Budgets { max_questions: 0, max_legs_per_hour: terms.max_legs_per_hour },
        };
        self.granted(&exchanges, &terms, Some(id), None)
    }

    /// The request caps each account, an authorisation all its legs together.
    fn freeze(
        &self,
        exchanges: &BTreeSet<ExchangeId>,
        targets: &BTreeSet<Target>,
        caps: &BTreeMap<Asset, Amount>,
        period: Duration,
    ) -> Granted {
        let freeze_until = self.now + period;
        let on = |asset: &Asset| targets.iter().filter(|target| target.account.chain() == asset.chain()).count();
        let legs: usize = caps.keys().map(on).sum();
        let terms = Terms {
            permitted: BTreeSet::from([OrderKind::Freeze]),
            subject: Subject::Targets(targets.clone()),
            caps: caps.iter().map(|(asset, cap)| (asset.clone(), std::iter::repeat_n(*cap, on(asset)).sum())).collect(),
            valid_until: self.document_ends(freeze_until),
            freeze_until: Some(freeze_until),
            budgets: Budgets { max_questions: 0, max_legs_per_hour: u32::try_from(legs).unwrap_or(u32::MAX) },
        };
        self.granted(exchanges, &terms, None, None)
    }

    /// Amends every line that freezes and has not ended. A cancellation names what earlier ones released too, since the
    /// latest of a line is the one in force.
    fn release(&self, lines: &[Authorisation], legs: &BTreeSet<LegId>) -> Granted {
        let authorisations: Vec<Authorisation> = lines
            .iter()
            .filter(|line| line.permitted.contains(&OrderKind::Freeze) && !ended(line))
            .map(|line| {
                let released = match (&line.act, legs.is_empty()) {
                    (Act::Cancel { legs: before }, false) => before | legs,
                    _ => legs.clone(),
                };
                Authorisation {
                    id: self.authorisation_id(&line.exchange),
                    act: Act::Cancel { legs: released },
                    amendment: line.amendment + 1,
                    request: self.approved.id,
                    ground: self.ground(),
                    decisions: self.approved.decisions.to_vec(),
                    issued_at: self.now,
                    ..line.clone()
                }
            })
            .collect();
        Granted { authorisations, ..Granted::default() }
    }

    fn granted(
        &self,
        exchanges: &BTreeSet<ExchangeId>,
        terms: &Terms,
        watch: Option<WatchId>,
        watch_until: Option<Moment>,
    ) -> Granted {
        Granted {
            authorisations: exchanges.iter().filter_map(|exchange| self.authorisation(exchange, terms)).collect(),
            exchanges: exchanges.clone(),
            watch,
            watch_until,
            watch_not_before: None,
            freeze_until: terms.freeze_until,
            ends_at: terms.freeze_until.max(watch_until).or(Some(terms.valid_until)),
        }
    }

    /// None where nobody could be told whom to contact, which no proposal that was read lacks.
    fn authorisation(&self, exchange: &ExchangeId, terms: &Terms) -> Option<Authorisation> {
        let id = self.authorisation_id(exchange);
        let proposal = self.approved.proposal;
        Some(Authorisation {
            id,
            act: Act::Grant,
            line: id,
            amendment: 1,
            exchange: exchange.clone(),
            request: self.approved.id,
            case: self.approved.case.clone(),
            ground: self.ground(),
            permitted: terms.permitted.clone(),
            subject: terms.subject.clone(),
            caps: terms.caps.clone(),
            valid_from: self.now,
            valid_until: terms.valid_until,
            freeze_until: terms.freeze_until,
            confidentiality: proposal.confidentiality.clone()?,
            officer: proposal.officer.clone()?,
            decisions: self.approved.decisions.to_vec(),
            issued_at: self.now,
            budgets: terms.budgets,
        })
    }

    fn authorisation_id(&self, exchange: &ExchangeId) -> AuthorisationId {
        AuthorisationId(derived("authorisation", &[&self.approved.id.to_string(), exchange.as_str()]))
    }

    fn ground(&self) -> LegalGround {
        LegalGround {
            basis: self.basis.name().to_owned(),
            citation: self.basis.citation().to_owned(),
            document: self.approved.proposal.document.clone(),
            ratify_by: None,
        }
    }

    /// Orders are issued while the document is valid; what was ordered may outlast it.
    fn document_ends(&self, until: Moment) -> Moment {
        let document = self.approved.proposal.document.as_ref();
        document.map_or(until, |document| until.min(document.valid_until))
    }
}
