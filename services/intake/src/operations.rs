//! What is wrong with the mesh, and who may do something about it. Pure.

use std::collections::BTreeMap;

use haetae_core::{AgencyId, LegalRules, Moment, Reason, RequestKind};
use haetae_wire::operations::v1::{
    ChainState, CircuitState, FollowerStatus, LineState, LogStatus, Replica, ServiceReport, ServiceStatus, Severity,
};
use prost_types::Timestamp;
use time::Duration;

use crate::approval::Actor;

/// Who keeps the mesh running.
pub(crate) const OPERATOR: &str = "operator";

/// The basis under which the brakes are pulled: an agency that may stop the mesh may look after it.
const BASIS: &str = "operations";

/// A replica tells every few seconds that it is there; silence for longer means that it is not.
const LOST: Duration = Duration::seconds(15);
/// Sealing takes milliseconds, and is tried again five times a second.
const UNSEALED: Duration = Duration::seconds(30);
/// What is unavailable for this long does not come back by itself.
const UNAVAILABLE: Duration = Duration::minutes(5);
/// A cursor that stands for this long before entries that are as old, while a replica is there to move it, is stuck. One
/// that is shown only a part of a log stores what it passed every ten seconds.
const STUCK: Duration = Duration::seconds(60);
/// Blocks behind the node: catching up, or falling behind.
const BLOCKS: u64 = 20;
/// A chain without a block for this many of its usual times, and for this long at least, is silent.
const BLOCK_TIMES: i32 = 5;
const SILENT: Duration = Duration::seconds(30);

/// Whether a person may look after the mesh.
///
/// # Errors
/// [`Reason::RoleMissing`].
pub(crate) fn may_operate(rules: &LegalRules, agency: &AgencyId, actor: Actor<'_>) -> Result<(), Reason> {
    if looks_after(rules, agency) && actor.is(OPERATOR) { Ok(()) } else { Err(Reason::RoleMissing) }
}

/// Whether an agency is one whose people may look after the mesh.
pub(crate) fn looks_after(rules: &LegalRules, agency: &AgencyId) -> bool {
    rules.basis(BASIS).is_ok_and(|basis| basis.approvals(agency, RequestKind::Halt).is_ok())
}

/// Something that is wrong or out of the ordinary with one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    pub(crate) service: String,
    /// Which part of the service's status it is about.
    pub(crate) part: String,
    pub(crate) what: String,
    pub(crate) remedy: &'static str,
}

/// Fills in how far each follower is behind the log that it follows, where that log's service has answered.
pub(crate) fn measure(services: &mut [ServiceReport]) {
    let sizes = |report: &ServiceReport| {
        let log = report.status.as_ref()?.log.as_ref()?;
        Some((report.service.clone(), (log.size, log.aged_size)))
    };
    let sizes: BTreeMap<String, (u64, u64)> = services.iter().filter_map(sizes).collect();
    for follower in services.iter_mut().filter_map(|report| report.status.as_mut()).flat_map(|s| &mut s.followers) {
        let left = |size: u64| size.saturating_sub(follower.next_position);
        let (behind, late) = match sizes.get(&follower.follows) {
            Some((size, aged)) => (Some(left(*size)), Some(left(*aged))),
            None => (None, None),
        };
        (follower.behind, follower.late) = (behind, late);
    }
}

/// What is wrong, what needs a person first.
pub(crate) fn diagnose(services: &[ServiceReport], now: Moment) -> Vec<Finding> {
    let mut findings = Vec::new();
    for report in services {
        let mut found = Found { service: &report.service, now, findings: &mut findings };
        match &report.status {
            None => found.person(
                "service",
                format!("no replica answers ({})", report.unreachable),
                "Look at its pods and their logs. The others go on, and what waits for it is caught up with.",
            ),
            Some(status) => found.service(status),
        }
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

struct Found<'a> {
    service: &'a str,
    now: Moment,
    findings: &'a mut Vec<Finding>,
}

impl Found<'_> {
    fn add(&mut self, severity: Severity, part: impl Into<String>, what: String, remedy: &'static str) {
        self.findings.push(Finding { severity, service: self.service.to_owned(), part: part.into(), what, remedy });
    }

    fn person(&mut self, part: impl Into<String>, what: String, remedy: &'static str) {
        self.add(Severity::Person, part, what, remedy);
    }

    fn watch(&mut self, part: impl Into<String>, what: String, remedy: &'static str) {
        self.add(Severity::Watch, part, what, remedy);
    }

    /// How long ago something was; nothing is not long ago.
    fn age(&self, at: Option<&Timestamp>) -> Duration {
        at.and_then(moment).map_or(Duration::ZERO, |at| self.now - at)
    }

    fn service(&mut self, status: &ServiceStatus) {
        for replica in &status.replicas {
            self.replica(replica);
        }
        if let Some(log) = &status.log {
            self.log(log);
        }
        let there = status.replicas.iter().map(|replica| self.age(replica.started_at.as_ref())).max();
        for follower in &status.followers {
            self.follower(follower, there.unwrap_or_default());
        }
        for chain in &status.chains {
            self.chain(chain);
        }
        if let Some(line) = &status.line {
            self.line(line);
        }
        for halt in &status.halts {
            let of = if halt.exchange.is_empty() { &halt.scope } else { &halt.exchange };
            self.watch(
                format!("halt/{}", halt.request_id),
                format!("freezes are halted: {of}, by {}", halt.agency),
                "It was wanted. `haetae resume` lets them go again and needs two persons; releases are never stopped.",
            );
        }
    }

    fn replica(&mut self, replica: &Replica) {
        let part = format!("replica/{}", replica.name);
        let unseen = self.age(replica.seen_at.as_ref());
        if replica.draining_since.is_some() {
            self.watch(part, "it goes down".to_owned(), "It was wanted. Another takes its place.");
        } else if unseen > LOST {
            let what = format!("not seen for {} s", unseen.whole_seconds());
            self.watch(part, what, "It was killed or cannot reach its database; a new one appears under its own name.");
        }
    }

    fn log(&mut self, log: &LogStatus) {
        let unsealed = self.age(log.oldest_unsealed_at.as_ref());
        if unsealed > UNSEALED {
            self.person(
                "log",
                format!("an entry has waited for {} s to be sealed", unsealed.whole_seconds()),
                "Nothing acts on what is not sealed. Its replicas log why: the database, the key, or a damaged tree.",
            );
        }
    }

    /// `there` is how long some replica has been there that could have moved it.
    fn follower(&mut self, follower: &FollowerStatus, there: Duration) {
        let part = || format!("follower/{}", follower.name);
        for obstacle in &follower.obstacles {
            let (since, what) = (self.age(obstacle.since.as_ref()), &obstacle.what);
            if obstacle.stopped {
                self.person(
                    part(),
                    format!("stopped in {}: {what}", obstacle.replica),
                    "The log it follows is not what it was. Find out why before anything else; never move the cursor by hand.",
                );
            } else if since > UNAVAILABLE {
                let what = format!("waits in {} for {} min: {what}", obstacle.replica, since.whole_minutes());
                self.person(
                    part(),
                    what,
                    "What it waits for does not come back by itself. Look at the service it follows.",
                );
            } else {
                let what = format!("waits in {}: {what}", obstacle.replica);
                self.watch(part(), what, "It tries again by itself and catches up.");
            }
        }
        let (late, stands) = (follower.late.unwrap_or_default(), self.age(follower.moved_at.as_ref()).min(there));
        if late > 0 && stands > STUCK && follower.obstacles.is_empty() {
            self.person(
                part(),
                format!("{late} entries late and not moved for {} s", stands.whole_seconds()),
                "Drain the replicas of the service one by one; if it stays, their logs say what is tried.",
            );
        }
        if follower.parked > 0 {
            self.person(
                part(),
                format!("{} entries parked or waiting behind a parked one", follower.parked),
                "`haetae parked list` says why; mend the cause, then `haetae parked retry`.",
            );
        }
    }

    fn chain(&mut self, chain: &ChainState) {
        let part = format!("chain/{}", chain.chain);
        let silence = self.age(chain.last_block_at.as_ref());
        let block_time = chain.block_time.as_ref().map_or(Duration::ZERO, |time| Duration::seconds(time.seconds));
        let behind = chain.node_block.saturating_sub(chain.read_block);
        if chain.halted_at.is_some() {
            let halted = self.age(chain.halted_at.as_ref()).whole_seconds();
            let what = format!("halted {halted} s ago: more blocks left the chain than may be taken back");
            self.person(part, what, "Find out which chain is the true one; the runbook ChainStuck says how to go on.");
        } else if chain.last_block_at.is_none() {
            let what = "no block was read yet".to_owned();
            self.person(part, what, "Its nodes do not answer: see tracking's logs and the chain's configuration.");
        } else if silence > SILENT.max(block_time * BLOCK_TIMES) {
            let what = format!("no block for {} s", silence.whole_seconds());
            self.person(
                part,
                what,
                "The node stands still, or nobody reads: see tracking's logs; switch to another node.",
            );
        } else if chain.nodes_answering < chain.nodes {
            let what = format!("{} of {} nodes answer", chain.nodes_answering, chain.nodes);
            self.watch(part, what, "The others are silent, or of another chain: tracking's logs say which.");
        } else if behind > BLOCKS {
            let what = format!("{behind} blocks behind its node");
            self.watch(part, what, "It catches up. If the number grows, the node answers too slowly.");
        }
    }

    fn line(&mut self, line: &LineState) {
        for delivery in line.deliveries.iter().filter(|delivery| delivery.overdue > 0) {
            let part = format!("delivery/{}", delivery.wanted);
            let what = format!(
                "{} {}s without an answer for longer than the exchange declares, the oldest for {} s",
                delivery.overdue,
                delivery.wanted,
                self.age(delivery.oldest_at.as_ref()).whole_seconds()
            );
            if delivery.wanted == "question" {
                self.watch(part, what, "It is asked again. Hops beyond it stay provisional until it answers.");
            } else {
                self.person(
                    part,
                    what,
                    "Call the exchange's hotline and hand over the signed order. Delivery goes on.",
                );
            }
        }
        let part = || format!("line/{}", line.exchange);
        if line.events_refused {
            self.person(
                part(),
                "the exchange's log holds an event that does not verify, and is not read past it".to_owned(),
                "Tell the exchange: it has to mend its log or its key. The connector's log has the fault.",
            );
        }
        if line.circuit() == CircuitState::Open {
            self.watch(
                part(),
                "the exchange does not answer".to_owned(),
                "It is probed; what waits goes out when it answers.",
            );
        }
    }
}

fn moment(at: &Timestamp) -> Option<Moment> {
    std::time::SystemTime::try_from(*at).ok().map(Moment::from)
}

#[cfg(test)]
mod tests {
    use haetae_wire::{
        convert::{duration, timestamp},
        operations::v1::{DeliveryState, HaltState, Obstacle},
    };
    use time::macros::datetime;

    use super::*;

    const NOW: Moment = datetime!(2026-03-02 03:00 UTC);

    fn ago(seconds: i64) -> Option<Timestamp> {
        Some(timestamp(NOW - Duration::seconds(seconds)))
    }

    fn report(service: &str, status: ServiceStatus) -> ServiceReport {
        ServiceReport { service: service.to_owned(), status: Some(status), unreachable: String::new() }
    }

    fn findings(status: ServiceStatus) -> Vec<(Severity, String)> {
        let found = diagnose(&[report("x", status)], NOW);
        found.into_iter().map(|finding| (finding.severity, finding.part)).collect()
    }

    fn follower() -> FollowerStatus {
        FollowerStatus { name: "f".into(), follows: "x".into(), moved_at: ago(3_600), ..FollowerStatus::default() }
    }

    fn with_follower(follower: FollowerStatus) -> ServiceStatus {
        let replica = Replica { started_at: ago(86_400), seen_at: ago(1), ..Replica::default() };
        ServiceStatus { replicas: vec![replica], followers: vec![follower], ..ServiceStatus::default() }
    }

    #[test]
    fn a_mesh_at_rest_needs_nobody_however_long_it_rests() {
        let status = ServiceStatus {
            replicas: vec![Replica { name: "one".into(), seen_at: ago(2), ..Replica::default() }],
            log: Some(LogStatus { size: 9, newest_at: ago(86_400), ..LogStatus::default() }),
            followers: vec![FollowerStatus { behind: Some(0), ..follower() }],
            chains: vec![ChainState {
                chain: "eip155:1".into(),
                read_block: 7,
                node_block: 7,
                last_block_at: ago(25),
                block_time: Some(duration(std::time::Duration::from_secs(12))),
                ..ChainState::default()
            }],
            line: Some(LineState { circuit: CircuitState::Closed.into(), ..LineState::default() }),
            ..ServiceStatus::default()
        };
        assert_eq!(findings(status), []);
    }

    #[test]
    fn a_service_that_does_not_answer_needs_a_person_and_stands_first() {
        let halted = ServiceStatus { halts: vec![HaltState::default()], ..ServiceStatus::default() };
        let down = ServiceReport { service: "tracking".into(), unreachable: "PEER_UNREACHABLE".into(), status: None };
        let found = diagnose(&[report("freeze", halted), down], NOW);
        let severities: Vec<_> = found.iter().map(|finding| (finding.severity, finding.service.as_str())).collect();
        assert_eq!(severities, [(Severity::Person, "tracking"), (Severity::Watch, "freeze")]);
    }

    #[test]
    fn a_cursor_that_stands_is_stuck_only_before_entries_that_are_old() {
        let stands = |behind, late| findings(with_follower(FollowerStatus { behind, late, ..follower() }));
        assert_eq!(stands(Some(0), Some(0)), []);
        assert_eq!(stands(None, None), [], "nothing is said of a log whose size is not known");
        assert_eq!(stands(Some(7), Some(0)), [], "after an hour of silence, the first entry is not late at once");
        assert_eq!(stands(Some(7), Some(1)), [(Severity::Person, "follower/f".to_owned())]);
        let moves = FollowerStatus { late: Some(1_000), moved_at: ago(1), ..follower() };
        assert_eq!(findings(with_follower(moves)), [], "one that moves catches up");
    }

    #[test]
    fn a_service_that_has_just_started_is_given_the_time_to_catch_up() {
        let late = FollowerStatus { late: Some(7), ..follower() };
        let started = |seconds: &[i64]| {
            let replica = |at: &i64| Replica { started_at: ago(*at), seen_at: ago(1), ..Replica::default() };
            let replicas = seconds.iter().map(replica).collect();
            findings(ServiceStatus { replicas, followers: vec![late.clone()], ..ServiceStatus::default() }).len()
        };
        assert_eq!(started(&[5]), 0, "nobody was there to move it");
        assert_eq!(started(&[5, 600]), 1, "the other replica was");
        assert_eq!(started(&[]), 0);
    }

    #[test]
    fn a_follower_that_stopped_needs_a_person_and_one_that_waits_only_after_some_time() {
        let kept = |stopped, seconds| {
            let obstacle = Obstacle { stopped, since: ago(seconds), ..Obstacle::default() };
            findings(with_follower(FollowerStatus { obstacles: vec![obstacle], ..follower() }))[0].0
        };
        assert_eq!(kept(true, 0), Severity::Person);
        assert_eq!(kept(false, 10), Severity::Watch);
        assert_eq!(kept(false, 600), Severity::Person);
    }

    #[test]
    fn what_is_parked_needs_a_person() {
        let parked = findings(with_follower(FollowerStatus { parked: 1, ..follower() }));
        assert_eq!(parked, [(Severity::Person, "follower/f".to_owned())]);
    }

    #[test]
    fn a_late_freeze_needs_a_person_and_a_late_question_does_not() {
        let line = |wanted: &str| {
            let delivery = DeliveryState { wanted: wanted.into(), overdue: 1, undelivered: 1, ..Default::default() };
            let line = LineState { deliveries: vec![delivery], ..LineState::default() };
            findings(ServiceStatus { line: Some(line), ..ServiceStatus::default() })[0].0
        };
        assert_eq!((line("freeze"), line("release")), (Severity::Person, Severity::Person));
        assert_eq!(line("question"), Severity::Watch);
    }

    #[test]
    fn a_chain_that_halted_needs_a_person_though_it_was_read_just_now() {
        let chain = ChainState { last_block_at: ago(1), halted_at: ago(1), ..ChainState::default() };
        assert_eq!(findings(ServiceStatus { chains: vec![chain], ..ServiceStatus::default() })[0].0, Severity::Person);
    }

    #[test]
    fn a_chain_is_silent_by_its_own_measure() {
        let chain = |silent, block_time| {
            let chain = ChainState {
                last_block_at: ago(silent),
                block_time: Some(duration(std::time::Duration::from_secs(block_time))),
                ..ChainState::default()
            };
            findings(ServiceStatus { chains: vec![chain], ..ServiceStatus::default() })
        };
        assert_eq!(chain(1_800, 600), [], "bitcoin is often silent for half an hour");
        assert_eq!(chain(61, 12)[0].0, Severity::Person);
        assert_eq!(chain(20, 0), [], "a fast chain is given some time too");
    }

    #[test]
    fn a_node_that_does_not_answer_is_told_while_others_do() {
        let alone = ChainState { last_block_at: ago(1), nodes: 2, nodes_answering: 1, ..ChainState::default() };
        let found = findings(ServiceStatus { chains: vec![alone], ..ServiceStatus::default() });
        assert_eq!(found[0].0, Severity::Watch);
    }

    #[test]
    fn what_is_left_of_a_log_is_counted_from_its_size() {
        let log = |size| Some(LogStatus { size, aged_size: size - 1, ..LogStatus::default() });
        let followers = |follows: &str, next_position| {
            vec![FollowerStatus { follows: follows.into(), next_position, ..FollowerStatus::default() }]
        };
        let mut services = [
            report("tracking", ServiceStatus { log: log(10), followers: followers("intake", 3), ..Default::default() }),
            report("freeze", ServiceStatus { log: log(5), followers: followers("tracking", 7), ..Default::default() }),
        ];
        measure(&mut services);
        let left = |place: usize| {
            let follower = &services[place].status.as_ref().unwrap().followers[0];
            (follower.behind, follower.late)
        };
        assert_eq!((left(0), left(1)), ((None, None), (Some(3), Some(2))));
    }

    #[test]
    fn only_an_operator_of_an_agency_that_may_pull_the_brakes_looks_after_the_mesh() {
        let rules = LegalRules::parse(include_str!("../legal-basis.toml")).unwrap();
        let (person, operator, approver) = ("p".parse().unwrap(), [OPERATOR.to_owned()], ["approver".to_owned()]);
        let may = |agency: &str, roles| {
            may_operate(&rules, &agency.parse().unwrap(), Actor { person: &person, roles }).is_ok()
        };
        assert!(may("knp", &operator));
        assert!(!may("knp", &approver));
        assert!(!may("fss", &operator));
    }
}
