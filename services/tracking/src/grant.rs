//! What intake granted, as far as it is done here.

use haetae_core::{
    Authorisation, CaseRef, Moment, OrderKind, RequestId, TaintRule, Target, Violation, Violations, WatchId, WatchStart,
};
use haetae_wire::intake::v1::{RequestGranted, Watch, request_content::Kind};
use haetae_wire::read::{self, Read as _};
use uuid::Uuid;

use crate::db::watch::Line;
use crate::terms::{Limits, Terms};

/// A request that people approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) request: RequestId,
    /// Subject of what becomes of it.
    pub(crate) subject: String,
    /// The authorisations signed for it.
    pub(crate) authorisations: Vec<Uuid>,
    pub(crate) wanted: Wanted,
}

/// What is wanted of tracking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Follow the money. Whom it asks follows from the authorisations.
    Watch { terms: Terms, until: Moment, start: Option<Start> },
    /// Ask who holds an account.
    Confirmation { target: Target },
    /// End a watch before its period is over.
    End { watch: WatchId },
    /// Nothing: it is for others.
    Nothing,
}

/// Where a watch begins in the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) at: WatchStart,
    /// A transaction of an earlier block is too old.
    pub(crate) not_before: Option<Moment>,
}

/// Reads a grant.
///
/// # Errors
/// All faults of the parts that are needed here.
pub(crate) fn read_grant(wire: &RequestGranted) -> Result<Grant, Vec<Violation>> {
    let mut violations = Violations::new();
    let v = &mut violations;
    let request = read::parse::<RequestId>(v, "request_id", &wire.request_id);
    let case = read::required::<_, CaseRef>(v, "case", wire.case.as_ref());
    let ids: Vec<_> = wire
        .authorisations
        .iter()
        .enumerate()
        .map(|(place, reference)| {
            let field = format!("authorisations[{place}].authorisation_id");
            read::parse::<haetae_core::AuthorisationId>(v, &field, &reference.authorisation_id)
        })
        .collect();
    let authorisations: Option<Vec<Uuid>> = ids.into_iter().map(|id| id.map(|id| id.0)).collect();
    let kind = wire.content.as_ref().and_then(|content| content.kind.as_ref());
    let wanted = match kind {
        Some(Kind::Watch(watch)) => v.within("content.watch", |v| read_watch(v, wire, watch, request)),
        Some(Kind::ConfirmAddress(confirm)) => {
            let target = v.within("content.confirm_address", |v| read::required(v, "target", confirm.target.as_ref()));
            target.map(|target| Wanted::Confirmation { target })
        }
        Some(Kind::EndWatch(end)) => {
            let watch = v.within("content.end_watch", |v| read::parse(v, "watch_id", &end.watch_id));
            watch.map(|watch| Wanted::End { watch })
        }
        _ => Some(Wanted::Nothing),
    };
    let grant = (|| {
        let case = case?;
        let subject = format!("case/{}/{}", case.agency, case.number);
        Some(Grant { request: request?, subject, authorisations: authorisations?, wanted: wanted? })
    })();
    violations.finish(grant)
}

fn read_watch(v: &mut Violations, wire: &RequestGranted, watch: &Watch, request: Option<RequestId>) -> Option<Wanted> {
    let id = read::parse::<WatchId>(v, "watch_id", &wire.watch_id);
    let until = read::moment(v, "watch_until", wire.watch_until.as_ref());
    let root = read::present(v, "root", watch.root.as_ref()).and_then(|root| v.within("root", |v| root.read(v)));
    read::not_empty(v, "stolen", &watch.stolen);
    let stolen = read::amounts(v, "stolen", &watch.stolen);
    let limits = read::present(v, "limits", watch.limits.as_ref())?;
    let dust = v.within("limits", |v| read::amounts(v, "dust", &limits.dust));
    let rule = read::choice_optional::<TaintRule>(v, "taint_rule", watch.taint_rule);
    let start = read::watch_start(v, watch.start.as_ref(), root.as_ref().map(|root: &Target| root.account.chain()));
    let not_before = read::moment_optional(v, "watch_not_before", wire.watch_not_before.as_ref());
    let terms = Terms {
        watch: id?,
        request: request?,
        root: root?,
        stolen: stolen?,
        limits: Limits {
            max_hops: limits.max_hops,
            dust: dust?,
            max_addresses: limits.max_addresses,
            max_questions: limits.max_questions,
            max_degree: u64::from(limits.max_degree),
        },
        // What was granted before a rule could be chosen.
        rule: rule?.unwrap_or_default(),
        begins: None,
        exchanges: 0,
    };
    let not_before = not_before?;
    let start = start?.map(|at| Start { at, not_before });
    Some(Wanted::Watch { terms, until: until?, start })
}

/// Whom these authorisations allow to be asked.
pub(crate) fn lines(authorisations: &[Authorisation]) -> Vec<Line> {
    authorisations
        .iter()
        .filter(|authorisation| authorisation.permitted.contains(&OrderKind::ConfirmAddress))
        .map(|authorisation| Line { exchange: authorisation.exchange.clone(), line: authorisation.line })
        .collect()
}
