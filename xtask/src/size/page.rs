//! What was measured, as a part of the sizing page, and what follows from it by multiplication.

use super::{Measured, measure::Usage};

/// The agency's investigators, and the exchanges they write to.
const INVESTIGATORS: f64 = 2_086.0;
const EXCHANGES: f64 = 40.0;

/// Assumed, not measured: requests of one investigator on a working day, watches of one that are open at once, working
/// days of a year, and how much busier the busiest hour is than the average of eight.
const REQUESTS_A_DAY: f64 = 4.0;
const OPEN_WATCHES: f64 = 10.0;
const WORKING_DAYS: f64 = 250.0;
const PEAK: f64 = 5.0;

/// The most transactions of one second that were reported of Tron, the busiest chain of stolen stablecoins.
const TRON_PEAK: f64 = 159.0;

const MIB: f64 = 1_048_576.0;

/// Markdown: what was measured, then what is computed from it.
pub(super) fn part(measured: &Measured) -> String {
    let mut part = format!(
        "Measured by `cargo xtask size --watches {} --transfers {}` with {}, one replica of each service and {} exchanges, on {}. \
         CPU time and disk are those of the processes named, whatever else the machine does; waiting is not among the figures.\n\n",
        measured.watches, measured.transfers, measured.programs, measured.exchanges, measured.machine
    );
    part.push_str(&at_rest(measured));
    part.push_str(&under_work(measured));
    part.push_str(&computed(measured));
    part.push_str(&limits(measured));
    part
}

fn at_rest(measured: &Measured) -> String {
    let mut table = String::from(
        "| at rest (measured) | CPU, ms a second | of its database, ms a second | memory, MiB | connections |\n|---|---|---|---|---|\n",
    );
    let exchanges = measured.exchanges as f64;
    for (name, prefix, number) in [
        ("intake", "intake", 1.0),
        ("tracking, one chain with a block a second", "tracking", 1.0),
        ("freeze", "freeze", 1.0),
        ("a connector (for each exchange)", "connector", exchanges),
        ("a rehearsal exchange (not in a live mesh)", "sandbox", exchanges),
    ] {
        let used = measured.rest.of(prefix);
        let a_second = |seconds: f64| seconds * 1_000.0 / measured.rest.seconds / number;
        table.push_str(&format!(
            "| {name} | {:.1} | {:.1} | {:.0} | {:.1} |\n",
            a_second(used.cpu),
            a_second(used.database_cpu),
            measured.rest.memory_of(prefix) as f64 / MIB / number,
            used.connections as f64 / number,
        ));
    }
    table + "\n"
}

fn under_work(measured: &Measured) -> String {
    let mut table = String::from(
        "| beyond rest (measured) | CPU, s | of its database, s | memory grown, MiB | disk grown, MiB |\n|---|---|---|---|---|\n",
    );
    for (what, name, prefix) in [
        ("1,000 requests, each approved", "intake", "intake"),
        ("the same, each a watch", "tracking", "tracking"),
        ("the same, each with a standing freeze", "freeze", "freeze"),
        ("the same", "all connectors", "connector"),
    ] {
        table.push_str(&row(&format!("{what}: {name}"), &per_thousand_requests(measured, prefix)));
    }
    table.push_str(&row("1,000 transfers on a chain: tracking", &per_thousand_transfers(measured)));
    table + "\n"
}

fn row(name: &str, used: &Usage) -> String {
    format!(
        "| {name} | {:.2} | {:.2} | {:.1} | {:.2} |\n",
        used.cpu,
        used.database_cpu,
        used.memory as f64 / MIB,
        used.disk as f64 / MIB
    )
}

/// What a phase used beyond what rest would have, for each thousand.
fn beyond_rest(measured: &Measured, used: Usage, seconds: f64, prefix: &str, number: f64) -> Usage {
    let rest = measured.rest.of(prefix);
    let share = seconds / measured.rest.seconds;
    let thousands = number / 1_000.0;
    let each = |bytes: i64| (bytes as f64 / thousands) as i64;
    Usage {
        cpu: (used.cpu - rest.cpu * share).max(0.0) / thousands,
        database_cpu: (used.database_cpu - rest.database_cpu * share).max(0.0) / thousands,
        memory: each(used.memory),
        disk: each(used.disk),
        connections: used.connections,
    }
}

fn per_thousand_requests(measured: &Measured, prefix: &str) -> Usage {
    let phase = &measured.asking;
    beyond_rest(measured, phase.of(prefix), phase.seconds, prefix, measured.watches.into())
}

fn per_thousand_transfers(measured: &Measured) -> Usage {
    let phase = &measured.busy;
    beyond_rest(measured, phase.of("tracking"), phase.seconds, "tracking", measured.transfers.into())
}

/// Memory that grew; a process may as well have given some back meanwhile.
fn memory(bytes: f64, unit: &str) -> String {
    if bytes <= 0.0 { "less than could be measured".to_owned() } else { format!("{:.0}{unit}", bytes / MIB) }
}

fn computed(measured: &Measured) -> String {
    let mut part = format!(
        "Computed from these, by multiplication, assuming {REQUESTS_A_DAY} requests a day and {OPEN_WATCHES} open watches of each of \
         {INVESTIGATORS} investigators, {WORKING_DAYS} working days a year, a busiest hour {PEAK} times the average of eight, and \
         {EXCHANGES} exchanges with one connector each:\n\n\
         | computed | {INVESTIGATORS} investigators | ten times | a hundred times |\n|---|---|---|---|\n",
    );
    let kinds = ["intake", "tracking", "freeze", "connector"];
    let requests = kinds.map(|prefix| per_thousand_requests(measured, prefix));
    let sum = |of: fn(&Usage) -> f64| requests.iter().map(of).sum::<f64>();
    let per_watch = requests[1].memory.max(0) as f64 / 1_000.0;
    let connectors = measured.rest.memory_of("connector") as f64 / MIB / measured.exchanges as f64 * EXCHANGES;
    let connector = measured.rest.of("connector");
    let idle = connector.cpu / measured.rest.seconds / measured.exchanges as f64 * EXCHANGES;
    let core: i64 = ["intake", "tracking", "freeze"].iter().map(|name| measured.rest.of(name).connections).sum();
    let connections = core as f64 + connector.connections as f64 / measured.exchanges as f64 * EXCHANGES;
    let rows: [(&str, &dyn Fn(f64) -> String); 8] = [
        ("requests a second, busiest hour", &|times| format!("{:.2}", peak(times))),
        ("CPU cores of the services for them", &|times| format!("{:.2}", peak(times) * sum(|used| used.cpu) / 1_000.0)),
        ("CPU cores of Postgres for them", &|times| {
            format!("{:.2}", peak(times) * sum(|used| used.database_cpu) / 1_000.0)
        }),
        ("disk of Postgres, GiB a year", &|times| {
            let a_year = INVESTIGATORS * times * REQUESTS_A_DAY * WORKING_DAYS;
            format!("{:.1}", a_year / 1_000.0 * sum(|used| used.disk as f64) / MIB / 1_024.0)
        }),
        ("memory of tracking for open watches, MiB", &|times| {
            memory(INVESTIGATORS * times * OPEN_WATCHES * per_watch, "")
        }),
        ("memory of all connectors, MiB", &|_| format!("{connectors:.0}")),
        ("CPU cores of all connectors at rest", &|_| format!("{idle:.2}")),
        ("connections to Postgres, one replica of each", &|_| format!("{connections:.0}")),
    ];
    for (name, value) in rows {
        part.push_str(&format!("| {name} | {} | {} | {} |\n", value(1.0), value(10.0), value(100.0)));
    }
    let watches = requests[1];
    part.push_str(&format!(
        "\nFor 100,000 watches (computed from {}): {} of tracking's memory, {:.0} MiB of its disk.\n",
        measured.watches,
        memory(watches.memory as f64 * 100.0, " MiB"),
        watches.disk as f64 / MIB * 100.0
    ));
    part
}

/// Where work goes in one line, and so at what rate one line is full: when its CPU time and that of its database, one after
/// the other, take a second for each second. Waiting for disks and networks comes on top.
fn limits(measured: &Measured) -> String {
    let of_requests = |prefix| a_second(&per_thousand_requests(measured, prefix));
    let transfers = a_second(&per_thousand_transfers(measured));
    let most = peak(100.0);
    let mut table = String::from("\n| one line | is full at (computed) | which is |\n|---|---|---|\n");
    for (name, full) in [
        ("freeze, all replicas together", of_requests("freeze")),
        ("intake, one core", of_requests("intake")),
        ("tracking, taking watches in, on one chain", of_requests("tracking")),
    ] {
        table.push_str(&format!(
            "| {name} | {full:.0} requests a second | {:.0} times what {INVESTIGATORS} investigators ask for in the busiest \
             hour, {:.1} times what a hundred times as many do |\n",
            full / peak(1.0),
            full / most
        ));
    }
    table.push_str(&format!(
        "| tracking, reading one chain | {transfers:.0} transfers a second | {:.0} times the busiest second seen on Tron \
         ({TRON_PEAK:.0}) |\n",
        transfers / TRON_PEAK
    ));
    table
}

/// How many a second take a second of CPU, the database's included.
fn a_second(per_thousand: &Usage) -> f64 {
    1_000.0 / (per_thousand.cpu + per_thousand.database_cpu).max(f64::MIN_POSITIVE)
}

/// Requests a second in the busiest hour.
fn peak(times: f64) -> f64 {
    INVESTIGATORS * times * REQUESTS_A_DAY / (8.0 * 3_600.0) * PEAK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_full_when_its_work_takes_all_the_time_there_is() {
        let usage = Usage { cpu: 3.0, database_cpu: 1.0, ..Usage::default() };
        assert!((a_second(&usage) - 250.0).abs() < 1e-9);
    }

    #[test]
    fn the_busiest_hour_follows_from_what_is_assumed() {
        // 2,086 investigators with 4 requests in 8 hours, five times as busy.
        assert!((peak(1.0) - 2_086.0 * 4.0 / 28_800.0 * 5.0).abs() < 1e-9);
        assert!((peak(100.0) - 100.0 * peak(1.0)).abs() < 1e-9);
    }
}
