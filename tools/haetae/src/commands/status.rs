//! `haetae status`: the whole mesh in one table, and what is wrong with it.

use std::collections::BTreeMap;

use haetae_wire::operations::v1::{
    ChainCapability, ChainState, CircuitState, FollowerStatus, GetMeshStatusResponse, HaltState, LineState, LogStatus,
    Replica, ServiceReport, ServiceStatus, Severity,
};
use prost_types::Timestamp;

use super::Desk;
use crate::{
    args::Status,
    failure::{Failure, counted},
    json,
    show::{Look, NOTHING, Tone, elapsed, safe},
    table::{Rows, plain},
};

pub(super) async fn run(desk: &Desk, args: Status) -> Result<(), Failure> {
    let status = desk.operations()?.status().await?;
    desk.out.print(|| json::of(&status), |look| Page { status: &status, all: args.all }.text(look))?;
    let wrong = status.findings.iter().filter(|finding| finding.severity() == Severity::Person).count();
    if args.check && wrong > 0 {
        let what =
            if wrong == 1 { "1 thing needs a person".to_owned() } else { format!("{wrong} things need a person") };
        return Err(Failure::failed(what).hint("Each is listed with what to do about it."));
    }
    Ok(())
}

struct Page<'a> {
    status: &'a GetMeshStatusResponse,
    /// Followers that nothing keeps, too.
    all: bool,
}

/// A row of the table without its service: the part, as findings name it, what it is called, how it stands, and when
/// something last happened.
type Line = (String, String, String, String);

impl Page<'_> {
    fn text(&self, look: &Look) -> String {
        let mut tones: BTreeMap<(&str, &str), Tone> = BTreeMap::new();
        for finding in self.status.findings.iter().rev() {
            tones.insert((&finding.service, &finding.part), tone(finding.severity()));
        }
        let mut rows = Rows::dense(look, &["service", "part", "stands", "last"]);
        for report in &self.status.services {
            for (part, called, stands, last) in self.service(report) {
                let tone = tones.get(&(report.service.as_str(), part.as_str())).copied().unwrap_or(Tone::Plain);
                rows.row([plain(safe(&report.service)), (tone, called), (tone, stands), (tone, last)]);
            }
        }
        let mut text = rows.print();
        text.push('\n');
        for finding in &self.status.findings {
            let severity = finding.severity();
            let whose = if severity == Severity::Person { "needs a person" } else { "to be known" };
            text.push_str(&format!(
                "{}: {} {}: {}\n  {}\n",
                look.toned(tone(severity), whose),
                safe(&finding.service),
                safe(&finding.part),
                safe(&finding.what),
                safe(&finding.remedy),
            ));
        }
        if !self.status.findings.iter().any(|finding| finding.severity() == Severity::Person) {
            text.push_str(&format!("{}\n", look.toned(Tone::Good, "Nothing needs a person.")));
        }
        text
    }

    fn service(&self, report: &ServiceReport) -> Vec<Line> {
        let Some(status) = &report.status else {
            let stands = format!("no replica answers ({})", safe(&report.unreachable));
            return vec![("service".into(), NOTHING.into(), stands, NOTHING.into())];
        };
        let mut lines: Vec<Line> = status.replicas.iter().map(|replica| self.replica(replica)).collect();
        lines.extend(status.log.as_ref().map(|log| self.log(log)));
        lines.extend(self.followers(status));
        lines.extend(status.chains.iter().map(|chain| self.chain(chain)));
        if let Some(line) = &status.line {
            lines.push(self.line(line));
            lines.extend(self.deliveries(line));
        }
        lines.extend(status.halts.iter().map(|halt| self.halt(halt)));
        lines
    }

    fn replica(&self, replica: &Replica) -> Line {
        let going = if replica.draining_since.is_some() { ", going down" } else { "" };
        let stands = format!("{}, up {}{going}", safe(&replica.version), self.since(replica.started_at.as_ref()));
        let name = safe(&replica.name);
        (format!("replica/{}", replica.name), format!("replica {name}"), stands, self.ago(replica.seen_at.as_ref()))
    }

    fn log(&self, log: &LogStatus) -> Line {
        let sealed = match &log.oldest_unsealed_at {
            Some(at) => format!("{} sealed, one waits for {}", log.size, self.since(Some(at))),
            None => format!("{} sealed, none waits", log.size),
        };
        ("log".into(), "log".into(), sealed, self.ago(log.newest_at.as_ref()))
    }

    /// Those that nothing keeps are counted, unless all are wanted.
    fn followers(&self, status: &ServiceStatus) -> Vec<Line> {
        let kept = |follower: &&FollowerStatus| {
            self.all
                || follower.behind.is_none_or(|behind| behind > 0)
                || follower.parked > 0
                || !follower.obstacles.is_empty()
        };
        let mut lines: Vec<Line> =
            status.followers.iter().filter(kept).map(|follower| self.follower(follower)).collect();
        let others = status.followers.len() - lines.len();
        if others > 0 {
            let moved = status.followers.iter().filter_map(|follower| follower.moved_at);
            let last = moved.max_by_key(|at| (at.seconds, at.nanos));
            let stands = format!("{}, not behind", counted(others, "log"));
            lines.push((String::new(), "follows".into(), stands, self.ago(last.as_ref())));
        }
        lines
    }

    fn follower(&self, follower: &FollowerStatus) -> Line {
        let of = follower.name.split_once("<-").map_or(follower.name.as_str(), |(_, of)| of);
        let behind = follower.behind.map_or_else(|| "behind by nobody knows".to_owned(), |n| format!("{n} behind"));
        let mut stands = format!("at {}, {behind}", follower.next_position);
        if follower.parked > 0 {
            stands.push_str(&format!(", {} parked", follower.parked));
        }
        for obstacle in &follower.obstacles {
            stands.push_str(if obstacle.stopped { ", STOPPED" } else { ", waits" });
        }
        let part = format!("follower/{}", follower.name);
        (part, format!("follows {}", safe(of)), stands, self.ago(follower.moved_at.as_ref()))
    }

    fn chain(&self, chain: &ChainState) -> Line {
        let behind = chain.node_block.saturating_sub(chain.read_block);
        let mut stands = match &chain.halted_at {
            Some(at) => format!("block {}, HALTED for {}", chain.read_block, self.since(Some(at))),
            None => format!("block {}, {behind} behind its node", chain.read_block),
        };
        if chain.nodes_answering < chain.nodes {
            stands.push_str(&format!(", {} of {} nodes answer", chain.nodes_answering, chain.nodes));
        }
        let internal = chain.capabilities().any(|capability| capability == ChainCapability::InternalTransfers);
        if chain.nodes > 0 && !internal {
            stands.push_str(", no internal transfers");
        }
        if chain.watches_catching_up > 0 {
            let watches = counted(usize::try_from(chain.watches_catching_up).unwrap_or(usize::MAX), "watch");
            stands.push_str(&format!(", {watches} catching up: {} blocks to go", chain.catch_up_blocks));
        }
        let name = safe(&chain.chain);
        (format!("chain/{}", chain.chain), format!("chain {name}"), stands, self.ago(chain.last_block_at.as_ref()))
    }

    fn line(&self, line: &LineState) -> Line {
        let stands = match line.circuit() {
            CircuitState::Closed if line.last_answer_at.is_none() => "no answer yet",
            CircuitState::Closed => "answers",
            CircuitState::Open => "does not answer; probed",
            CircuitState::Unspecified => NOTHING,
        };
        let events = if line.events_refused { ", its log does not verify" } else { "" };
        let part = format!("line/{}", line.exchange);
        (part, "line".into(), format!("{stands}{events}"), self.ago(line.last_answer_at.as_ref()))
    }

    /// Kinds of which nothing waits are left out, unless all are wanted.
    fn deliveries(&self, line: &LineState) -> Vec<Line> {
        let waits = line.deliveries.iter().filter(|delivery| self.all || delivery.undelivered + delivery.held_back > 0);
        let tell = waits.map(|delivery| {
            let mut stands = format!("{} undelivered", delivery.undelivered);
            for (number, what) in [(delivery.overdue, "overdue"), (delivery.held_back, "held back")] {
                if number > 0 {
                    stands.push_str(&format!(", {number} {what}"));
                }
            }
            let kind = safe(&delivery.wanted);
            (format!("delivery/{}", delivery.wanted), format!("{kind}s"), stands, self.ago(delivery.oldest_at.as_ref()))
        });
        tell.collect()
    }

    fn halt(&self, halt: &HaltState) -> Line {
        let of = if halt.exchange.is_empty() { &halt.scope } else { &halt.exchange };
        let stands = format!("freezes halted by {}", safe(&halt.agency));
        (format!("halt/{}", halt.request_id), format!("halt {}", safe(of)), stands, self.ago(halt.since.as_ref()))
    }

    fn since(&self, at: Option<&Timestamp>) -> String {
        elapsed(at, self.status.as_of.as_ref()).unwrap_or_else(|| NOTHING.to_owned())
    }

    fn ago(&self, at: Option<&Timestamp>) -> String {
        elapsed(at, self.status.as_of.as_ref()).map_or_else(|| NOTHING.to_owned(), |time| format!("{time} ago"))
    }
}

fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Person => Tone::Bad,
        Severity::Watch | Severity::Unspecified => Tone::Wait,
    }
}

#[cfg(test)]
mod tests {
    use haetae_wire::operations::v1::{DeliveryState, Finding};

    use super::*;

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos: 0 })
    }

    fn freeze() -> ServiceReport {
        let follower = |name: &str, parked| FollowerStatus {
            name: name.into(),
            next_position: 12,
            moved_at: at(90),
            behind: Some(0),
            parked,
            ..FollowerStatus::default()
        };
        let status = ServiceStatus {
            replicas: vec![Replica {
                name: "freeze-1".into(),
                version: "0.1.0".into(),
                started_at: at(40),
                seen_at: at(99),
                draining_since: None,
            }],
            log: Some(LogStatus { size: 57, newest_at: at(80), ..LogStatus::default() }),
            followers: vec![follower("freeze<-intake", 0), follower("freeze<-tracking", 3)],
            ..ServiceStatus::default()
        };
        ServiceReport { service: "freeze".into(), status: Some(status), unreachable: String::new() }
    }

    fn text(services: Vec<ServiceReport>, findings: Vec<Finding>, look: &Look) -> String {
        let status = GetMeshStatusResponse { as_of: at(100), services, findings };
        Page { status: &status, all: false }.text(look)
    }

    fn parked() -> Finding {
        Finding {
            severity: Severity::Person.into(),
            service: "freeze".into(),
            part: "follower/freeze<-tracking".into(),
            what: "3 entries parked".into(),
            remedy: "Mend the cause.".into(),
        }
    }

    #[test]
    fn what_is_well_is_counted_and_what_is_not_is_shown() {
        let text = text(vec![freeze()], vec![parked()], &Look::default());
        let cells: Vec<Vec<&str>> =
            text.lines().map(|line| line.split("  ").map(str::trim).filter(|c| !c.is_empty()).collect()).collect();
        for row in [
            ["freeze", "replica freeze-1", "0.1.0, up 1m", "1s ago"],
            ["freeze", "log", "57 sealed, none waits", "20s ago"],
            ["freeze", "follows tracking", "at 12, 0 behind, 3 parked", "10s ago"],
            ["freeze", "follows", "1 log, not behind", "10s ago"],
        ] {
            assert!(cells.iter().any(|cells| *cells == row), "{row:?} is not in\n{text}");
        }
        assert!(text.contains("needs a person: freeze follower/freeze<-tracking: 3 entries parked\n  Mend the cause."));
        assert!(!text.contains("Nothing needs a person"));
    }

    #[test]
    fn only_what_needs_a_person_is_red() {
        let red = "\u{1b}[38;5;9m";
        let look = Look { colour: true, ..Look::default() };
        let well = text(vec![freeze()], Vec::new(), &look);
        assert!(!well.contains(red) && well.contains("Nothing needs a person."), "{well}");
        let row = |line: &&str| line.contains("follows tracking");
        assert!(text(vec![freeze()], vec![parked()], &look).lines().find(row).unwrap().contains(red));
        let known = Finding { severity: Severity::Watch.into(), ..parked() };
        assert!(!text(vec![freeze()], vec![known], &look).contains(red));
    }

    #[test]
    fn a_service_that_does_not_answer_has_a_row_too() {
        let down = ServiceReport { service: "tracking".into(), unreachable: "PEER_UNREACHABLE".into(), status: None };
        assert!(text(vec![down], Vec::new(), &Look::default()).contains("no replica answers (PEER_UNREACHABLE)"));
    }

    #[test]
    fn a_chain_says_what_its_nodes_do_not() {
        let stands = |chain: ChainState| {
            let status = ServiceStatus { chains: vec![chain], ..ServiceStatus::default() };
            let report = ServiceReport { service: "tracking".into(), status: Some(status), ..Default::default() };
            text(vec![report], Vec::new(), &Look::default())
        };
        let alone = ChainState { chain: "eip155:1".into(), nodes: 2, nodes_answering: 1, ..ChainState::default() };
        assert!(stands(alone.clone()).contains("1 of 2 nodes answer, no internal transfers"));
        let internal = vec![ChainCapability::InternalTransfers.into()];
        let well = stands(ChainState { nodes_answering: 2, capabilities: internal, ..alone });
        assert!(!well.contains("nodes answer") && !well.contains("internal"), "{well}");
    }

    #[test]
    fn what_a_halt_holds_back_is_not_taken_for_late() {
        let freezes = DeliveryState { wanted: "freeze".into(), held_back: 2, ..DeliveryState::default() };
        let line = LineState { deliveries: vec![freezes], ..LineState::default() };
        let status = ServiceStatus { line: Some(line), ..ServiceStatus::default() };
        let report = ServiceReport { service: "connector/upbit".into(), status: Some(status), ..Default::default() };
        assert!(text(vec![report], Vec::new(), &Look::default()).contains("0 undelivered, 2 held back"));
    }
}
