//! From the wire to a [`Proposal`]: every fault at once, those of form and those before the law.
//!
//! A request is read twice. First without the law, which tells whether it is the same request as one that was answered
//! before: that answer holds even if the rules or the warrant would refuse it today. Then with the law.

use std::collections::{BTreeMap, BTreeSet};

use haetae_core::{
    Account, AgencyId, Amount, Asset, ChainId, Collect, ExchangeId, LegalBasis, LegalRules, Limits, Moment, NotAllowed,
    Reason, RequestKind, TaintRule, Violation, Violations, WatchStart,
};
use haetae_wire::{
    exchange::v1::{AssetAmount, Target},
    intake::v1::{self, request_content::Kind},
    read,
    registry::{Exchange, Registry},
};

use crate::proposal::{Asked, HaltScope, Proposal, StandingTerms, Watch, WatchLimits};

const LINE: usize = 200;
const SUMMARY: usize = 2_000;
const MOST_TARGETS: usize = 100;
const MOST_ASSETS: usize = 100;

/// The law as it stands for a caller now.
#[derive(Clone, Copy)]
pub(crate) struct Law<'a> {
    pub(crate) rules: &'a LegalRules,
    pub(crate) agency: &'a AgencyId,
    pub(crate) now: Moment,
}

/// Reads a request's form. The registry has the exchanges that may be named and the chains they take; none where they
/// were checked before.
///
/// # Errors
/// Every fault, below `content`.
pub(crate) fn parse(
    content: Option<&v1::RequestContent>,
    registry: Option<&Registry>,
) -> Result<Proposal, Vec<Violation>> {
    let mut violations = Violations::new();
    let proposal = Reader { registry, law: None }.content(&mut violations, content);
    violations.finish(proposal)
}

/// Reads a request under the law: limits that were left open become the basis' own. Faults are noted in `v`, to which
/// the caller may add.
pub(crate) fn under(
    law: Law<'_>,
    content: Option<&v1::RequestContent>,
    registry: &Registry,
    v: &mut Violations,
) -> Option<Proposal> {
    Reader { registry: Some(registry), law: Some(law) }.content(v, content)
}

struct Reader<'a> {
    registry: Option<&'a Registry>,
    law: Option<Law<'a>>,
}

/// The basis named, where the law is asked and knows it.
type Basis<'a> = Option<&'a LegalBasis>;

impl<'a> Reader<'a> {
    fn content(&self, v: &mut Violations, wire: Option<&v1::RequestContent>) -> Option<Proposal> {
        let wire = read::present(v, "content", wire)?;
        v.within("content", |v| self.fields(v, wire))
    }

    fn fields(&self, v: &mut Violations, wire: &v1::RequestContent) -> Option<Proposal> {
        let case_number = read::text(v, "case_number", &wire.case_number, 1..=LINE);
        let name = read::text(v, "legal_basis", &wire.legal_basis, 1..=LINE);
        let basis: Basis<'a> =
            self.law.zip(name.as_ref()).and_then(|(law, name)| law.rules.basis(name).collect(v, "legal_basis"));
        let document = read::optional(v, "document", wire.document.as_ref());

        let leaves = !matches!(wire.kind, Some(Kind::Release(_) | Kind::Halt(_) | Kind::Resume(_) | Kind::EndWatch(_)));
        let officer = if leaves {
            read::required(v, "officer", wire.officer.as_ref()).map(Some)
        } else {
            read::optional(v, "officer", wire.officer.as_ref())
        };
        let confidentiality = if leaves {
            read::required(v, "confidentiality", wire.confidentiality.as_ref()).map(Some)
        } else {
            read::optional(v, "confidentiality", wire.confidentiality.as_ref())
        };
        let summary = read::text(v, "summary", &wire.summary, usize::from(leaves)..=SUMMARY);
        let exchanges = self.exchanges(v, basis, wire, leaves);
        let asked = match read::present(v, "kind", wire.kind.as_ref())? {
            Kind::ConfirmAddress(wire) => v.within("confirm_address", |v| {
                read::required(v, "target", wire.target.as_ref()).map(Asked::ConfirmAddress)
            }),
            Kind::Watch(wire) => v.within("watch", |v| watch(v, basis, self.law, wire)).map(Asked::Watch),
            Kind::StandingFreeze(wire) => v.within("standing_freeze", |v| {
                let watch = read::parse(v, "watch_id", &wire.watch_id);
                let terms = read::present(v, "terms", wire.terms.as_ref());
                let terms = terms.and_then(|wire| v.within("terms", |v| standing_terms(v, basis, wire, None)));
                Some(Asked::StandingFreeze { watch: watch?, terms: terms? })
            }),
            Kind::Freeze(wire) => v.within("freeze", |v| freeze(v, basis, wire)),
            Kind::Release(wire) => v.within("release", |v| {
                let frozen_by = read::parse(v, "frozen_by_request_id", &wire.frozen_by_request_id);
                let legs = read::parse_set(v, "leg_ids", &wire.leg_ids);
                Some(Asked::Release { frozen_by: frozen_by?, legs: legs? })
            }),
            Kind::Halt(wire) => v.within("halt", |v| self.scope(v, wire.scope.as_ref())).map(Asked::Halt),
            Kind::Resume(wire) => v.within("resume", |v| self.scope(v, wire.scope.as_ref())).map(Asked::Resume),
            Kind::EndWatch(wire) => {
                v.within("end_watch", |v| read::parse(v, "watch_id", &wire.watch_id)).map(Asked::EndWatch)
            }
        };
        self.chains(v, basis, wire);
        if let (Some(law), Some(basis), Some(wire)) = (self.law, basis, &wire.kind) {
            let kinds = kinds(wire);
            for kind in kinds {
                basis.approvals(law.agency, *kind).collect(v, "legal_basis");
            }
            if let (Some(document), [kind, ..]) = (&document, kinds) {
                basis.document(*kind, document.as_ref(), law.now).collect(v, "document");
            }
        }
        Some(Proposal {
            case_number: case_number?,
            basis: name?,
            document: document?,
            officer: officer?,
            confidentiality: confidentiality?,
            summary: summary?,
            exchanges: exchanges?,
            asked: asked?,
        })
    }

    fn exchanges(
        &self,
        v: &mut Violations,
        basis: Basis<'_>,
        wire: &v1::RequestContent,
        leaves: bool,
    ) -> Option<BTreeSet<ExchangeId>> {
        if !leaves {
            read::empty(v, "exchanges", wire.exchanges.is_empty(), "where the kind itself says whom it concerns");
        }
        if matches!(wire.kind, Some(Kind::Freeze(_))) {
            read::not_empty(v, "exchanges", &wire.exchanges);
        }
        let exchanges = read::parse_set::<ExchangeId>(v, "exchanges", &wire.exchanges)?;
        for (i, name) in wire.exchanges.iter().enumerate() {
            let Ok(exchange) = name.parse() else { continue };
            let field = format!("exchanges[{i}]");
            self.known(v, &field, &exchange);
            if let Some(basis) = basis {
                basis.exchange(&exchange).collect(v, &field);
            }
        }
        Some(exchanges)
    }

    fn known(&self, v: &mut Violations, field: &str, exchange: &ExchangeId) {
        if self.registry.is_some_and(|registry| registry.exchange(exchange).is_none()) {
            v.add(field, Reason::UnknownExchange, "is not in the registry");
        }
    }

    /// Notes accounts on chains on which nobody could be asked, and exchanges named that could not know an account.
    /// Granted, such a request would reach nobody, and nobody's silence would look like an answer.
    fn chains(&self, v: &mut Violations, basis: Basis<'_>, wire: &v1::RequestContent) {
        let Some(registry) = self.registry else { return };
        let lawful = |exchange: &ExchangeId| basis.is_none_or(|basis| basis.exchange(exchange).is_ok());
        let mut taken = BTreeSet::new();
        for (field, account) in wire.kind.as_ref().map(accounts).unwrap_or_default() {
            let Ok(account) = account.parse::<Account>() else { continue };
            let takes = |exchange: &Exchange| exchange.chains.contains(account.chain()) && lawful(&exchange.id);
            if registry.exchanges().any(takes) {
                taken.insert(account.chain().clone());
            } else {
                v.add(&field, Reason::ChainNotSupported, "is on a chain on which no exchange in reach takes deposits");
            }
        }
        for (i, name) in wire.exchanges.iter().enumerate() {
            let exchange = name.parse().ok().and_then(|id| registry.exchange(&id));
            if exchange.is_some_and(|exchange| !taken.iter().all(|chain| exchange.chains.contains(chain))) {
                v.add(&format!("exchanges[{i}]"), Reason::WrongChain, "takes no deposits on the chain of an account");
            }
        }
    }

    fn scope(&self, v: &mut Violations, wire: Option<&v1::HaltScope>) -> Option<HaltScope> {
        use v1::halt_scope::Scope;
        let wire = read::present(v, "scope", wire)?;
        v.within("scope", |v| match read::present(v, "scope", wire.scope.as_ref())? {
            Scope::Everything(true) => Some(HaltScope::Everything),
            Scope::Everything(false) => {
                v.add("everything", Reason::FieldMalformed, "must be true where it is the scope");
                None
            }
            Scope::Exchange(name) => {
                let exchange = read::parse(v, "exchange", name)?;
                self.known(v, "exchange", &exchange);
                Some(HaltScope::Exchange(exchange))
            }
            Scope::CaseNumber(number) => read::text(v, "case_number", number, 1..=LINE).map(HaltScope::Case),
        })
    }
}

/// The accounts that a request is about, each with its field.
fn accounts(wire: &Kind) -> Vec<(String, &str)> {
    let targets: Vec<(String, &Target)> = match wire {
        Kind::ConfirmAddress(wire) => {
            wire.target.iter().map(|target| ("confirm_address.target".into(), target)).collect()
        }
        Kind::Watch(wire) => wire.root.iter().map(|root| ("watch.root".into(), root)).collect(),
        Kind::Freeze(wire) => {
            let targets = wire.targets.iter().enumerate();
            targets.map(|(i, target)| (format!("freeze.targets[{i}]"), target)).collect()
        }
        Kind::StandingFreeze(_) | Kind::Release(_) | Kind::Halt(_) | Kind::Resume(_) | Kind::EndWatch(_) => Vec::new(),
    };
    targets.into_iter().map(|(field, target)| (format!("{field}.account"), target.account.as_str())).collect()
}

/// The kinds that a legal basis must allow for it: a watch that freezes is two in one.
pub(crate) fn kinds(wire: &Kind) -> &'static [RequestKind] {
    match wire {
        Kind::ConfirmAddress(_) => &[RequestKind::ConfirmAddress],
        Kind::Watch(v1::Watch { standing_freeze: None, .. }) => &[RequestKind::Watch],
        Kind::Watch(_) => &[RequestKind::Watch, RequestKind::StandingFreeze],
        Kind::StandingFreeze(_) => &[RequestKind::StandingFreeze],
        Kind::Freeze(_) => &[RequestKind::Freeze],
        Kind::Release(_) => &[RequestKind::Release],
        Kind::Halt(_) => &[RequestKind::Halt],
        Kind::Resume(_) => &[RequestKind::Resume],
        Kind::EndWatch(_) => &[RequestKind::EndWatch],
    }
}

fn watch(v: &mut Violations, basis: Basis<'_>, law: Option<Law<'_>>, wire: &v1::Watch) -> Option<Watch> {
    let root: Option<haetae_core::Target> = read::required(v, "root", wire.root.as_ref());
    let chain: Option<BTreeSet<ChainId>> = root.as_ref().map(|root| BTreeSet::from([root.account.chain().clone()]));
    read::not_empty(v, "stolen", &wire.stolen);
    let stolen = Amounts { on: chain.as_ref(), ..Amounts::default() }.read(v, "stolen", &wire.stolen);
    let period = period(v, "period", wire.period.as_ref(), basis.map(|basis| |asked| basis.watch_period(asked)));
    let none = v1::WatchLimits::default();
    let limits = v.within("limits", |v| {
        let wire = wire.limits.as_ref().unwrap_or(&none);
        let max_hops = limit(v, "max_hops", basis, |limits| limits.max_hops, wire.max_hops);
        let dust = Amounts { on: chain.as_ref(), ..Amounts::default() }.read(v, "dust", &wire.dust);
        let max_addresses = limit(v, "max_addresses", basis, |limits| limits.max_addresses, wire.max_addresses);
        let max_questions = limit(v, "max_questions", basis, |limits| limits.max_questions, wire.max_questions);
        let max_degree = limit(v, "max_degree", basis, |limits| limits.max_degree, wire.max_degree);
        Some(WatchLimits {
            max_hops: max_hops?,
            dust: dust?,
            max_addresses: max_addresses?,
            max_questions: max_questions?,
            max_degree: max_degree?,
        })
    });
    let start = start(v, basis.zip(law), wire.start.as_ref(), root.as_ref().map(|root| root.account.chain()));
    let standing_freeze = match &wire.standing_freeze {
        None => Some(None),
        Some(wire) => v.within("standing_freeze", |v| standing_terms(v, basis, wire, stolen.as_ref())).map(Some),
    };
    let rule = read::choice_optional::<TaintRule>(v, "taint_rule", wire.taint_rule);
    let kind = root.as_ref().and_then(|root| root.account.chain().kind());
    if rule.flatten().zip(kind).is_some_and(|(rule, kind)| !rule.works_on(kind)) {
        v.add("taint_rule", Reason::TaintRuleNotSupported, "needs to know what accounts had at a block");
    }
    // What is granted names its rule; what was left open is told from what was chosen as long as it is only compared.
    let rule = rule.map(|rule| basis.map_or(rule, |_| Some(rule.unwrap_or_default())));
    Some(Watch {
        root: root?,
        stolen: stolen?,
        period: period?,
        limits: limits?,
        standing_freeze: standing_freeze?,
        rule: rule?,
        start: start?,
    })
}

/// Where a watch begins. How old a transaction is only its chain can tell: tracking holds it against the same limit.
fn start(
    v: &mut Violations,
    under: Option<(&LegalBasis, Law<'_>)>,
    wire: Option<&v1::watch::Start>,
    chain: Option<&ChainId>,
) -> Option<Option<WatchStart>> {
    let start = read::watch_start(v, wire, chain)?;
    let (field, back) = match (&start, under) {
        (None, _) | (_, None) => return Some(start),
        (Some(WatchStart::Since(since)), Some((_, law))) => ("since", law.now - *since),
        (Some(WatchStart::Transaction(_)), Some(_)) => ("transaction", time::Duration::ZERO),
    };
    if back.is_negative() {
        v.add(field, Reason::FieldMalformed, "lies in the future");
        return None;
    }
    under?.0.look_back(back).collect(v, field).map(|_| start)
}

/// `stolen` is what the watch states, where it is at hand: more than that is nobody's to freeze.
fn standing_terms(
    v: &mut Violations,
    basis: Basis<'_>,
    wire: &v1::StandingFreezeTerms,
    stolen: Option<&BTreeMap<Asset, Amount>>,
) -> Option<StandingTerms> {
    read::not_empty(v, "caps", &wire.caps);
    let caps = Amounts { stolen, basis, ..Amounts::default() }.read(v, "caps", &wire.caps);
    let period =
        period(v, "freeze_period", wire.freeze_period.as_ref(), basis.map(|basis| |asked| basis.freeze_period(asked)));
    let legs = limit(v, "max_legs_per_hour", basis, |limits| limits.max_legs_per_hour, wire.max_legs_per_hour);
    let holders = limit(v, "max_holders", basis, |limits| limits.max_holders, wire.max_holders);
    Some(StandingTerms { caps: caps?, period: period?, max_legs_per_hour: legs?, max_holders: holders? })
}

fn freeze(v: &mut Violations, basis: Basis<'_>, wire: &v1::Freeze) -> Option<Asked> {
    read::not_empty(v, "targets", &wire.targets);
    at_most(v, "targets", wire.targets.len(), MOST_TARGETS);
    let targets: Option<BTreeSet<haetae_core::Target>> = read::set(v, "targets", &wire.targets);
    read::not_empty(v, "caps", &wire.caps);
    let chains: Option<BTreeSet<ChainId>> =
        targets.as_ref().map(|targets| targets.iter().map(|target| target.account.chain().clone()).collect());
    let caps = Amounts { on: chains.as_ref(), basis, ..Amounts::default() }.read(v, "caps", &wire.caps);
    if let Some(caps) = &caps {
        for (i, target) in wire.targets.iter().enumerate() {
            let Ok(account) = target.account.parse::<Account>() else { continue };
            if !caps.is_empty() && !caps.keys().any(|asset| asset.chain() == account.chain()) {
                v.add(&format!("targets[{i}].account"), Reason::WrongChain, "is on a chain that no cap is on");
            }
        }
    }
    let period =
        period(v, "freeze_period", wire.freeze_period.as_ref(), basis.map(|basis| |asked| basis.freeze_period(asked)));
    Some(Asked::Freeze { targets: targets?, caps: caps?, period: period? })
}

fn period(
    v: &mut Violations,
    field: &str,
    wire: Option<&prost_types::Duration>,
    lawful: Option<impl FnOnce(time::Duration) -> Result<time::Duration, NotAllowed>>,
) -> Option<std::time::Duration> {
    let period = read::duration(v, field, wire)?;
    if let Some(lawful) = lawful {
        lawful(time::Duration::try_from(period).unwrap_or(time::Duration::MAX)).collect(v, field)?;
    }
    Some(period)
}

fn limit(v: &mut Violations, field: &str, basis: Basis<'_>, which: fn(&Limits) -> u32, asked: u32) -> Option<u32> {
    match basis {
        None => Some(asked),
        Some(basis) => basis.limit(which, asked).collect(v, field),
    }
}

fn at_most(v: &mut Violations, field: &str, count: usize, most: usize) {
    if count > most {
        v.add(field, Reason::FieldMalformed, format!("must have at most {most} items"));
    }
}

/// What a list of amounts is held against.
#[derive(Default)]
struct Amounts<'a> {
    /// The chains that the assets may be on.
    on: Option<&'a BTreeSet<ChainId>>,
    /// What was stolen.
    stolen: Option<&'a BTreeMap<Asset, Amount>>,
    /// The law's caps.
    basis: Basis<'a>,
}

impl Amounts<'_> {
    /// None twice, none zero. May be empty.
    fn read(&self, v: &mut Violations, field: &str, wires: &[AssetAmount]) -> Option<BTreeMap<Asset, Amount>> {
        at_most(v, field, wires.len(), MOST_ASSETS);
        let mut read = BTreeMap::new();
        let mut complete = true;
        for (i, wire) in wires.iter().enumerate() {
            v.within(format!("{field}[{i}]"), |v| {
                let asset = read::parse::<Asset>(v, "asset", &wire.asset);
                let amount = read::amount(v, "amount", &wire.amount);
                if asset.as_ref().zip(self.on).is_some_and(|(asset, on)| !on.contains(asset.chain())) {
                    v.add("asset", Reason::WrongChain, "is on another chain than the address");
                }
                let Some((asset, amount)) = asset.zip(amount) else {
                    complete = false;
                    return;
                };
                self.weigh(v, &asset, amount);
                if read.insert(asset, amount).is_some() {
                    v.add("asset", Reason::FieldMalformed, "is named twice");
                }
            });
        }
        complete.then_some(read)
    }

    fn weigh(&self, v: &mut Violations, asset: &Asset, amount: Amount) {
        if let Some(stolen) = self.stolen {
            above_stolen(v, "amount", stolen.get(asset), amount);
        }
        if let Some(basis) = self.basis {
            basis.cap(asset, amount).collect(v, "amount");
        }
    }
}

/// Notes a cap that is above what was stolen of its asset.
pub(crate) fn above_stolen(v: &mut Violations, field: &str, stolen: Option<&Amount>, cap: Amount) {
    match stolen {
        None => v.add(field, Reason::CapOverLimit, "nothing was stolen of this asset"),
        Some(stolen) if cap > *stolen => v.add(field, Reason::CapOverLimit, "is more than what was stolen"),
        Some(_) => {}
    }
}
