//! Reading what processes and databases use.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result};
use haetae_tests::{EXCHANGES, Mesh};
use serde::Serialize;
use sqlx::{Connection, PgConnection, Row};
use tokio::time::Instant;

/// Kernel ticks per second, as `/proc` counts CPU time on Linux.
const TICKS: f64 = 100.0;

/// What one process or database has used so far, and holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Usage {
    /// CPU seconds, in total or since the first reading.
    pub(super) cpu: f64,
    /// Memory in use, bytes; how much more it has become since the first reading.
    pub(super) memory: i64,
    /// CPU seconds of the database's own connections.
    pub(super) database_cpu: f64,
    /// Bytes on disk, in total or since the first reading.
    pub(super) disk: i64,
    /// Connections held.
    pub(super) connections: i64,
}

/// Everything at one moment, by process.
pub(super) struct Reading {
    at: Instant,
    usage: BTreeMap<String, Usage>,
}

/// What happened between two readings.
#[derive(Serialize)]
pub(super) struct Cost {
    /// Seconds between them.
    pub(super) seconds: f64,
    /// What was used in between, by process.
    pub(super) used: BTreeMap<String, Usage>,
    /// Memory in use at the end, by process.
    pub(super) memory: BTreeMap<String, i64>,
}

/// Where to read.
pub(super) struct Meter {
    processes: BTreeMap<String, Place>,
}

struct Place {
    pid: u32,
    database: String,
}

impl Meter {
    pub(super) fn new(mesh: &mut Mesh) -> Result<Self> {
        let mut processes = BTreeMap::new();
        let core = ["intake", "tracking", "freeze"].map(str::to_owned);
        let exchanges = EXCHANGES.iter().flat_map(|(id, _)| [format!("connector-{id}"), format!("sandbox-{id}")]);
        for name in core.into_iter().chain(exchanges) {
            let config = fs::read_to_string(mesh.house.path("config").join(format!("{name}.toml")))?;
            let config: toml::Table = toml::from_str(&config)?;
            let database = config["database"]["url"].as_str().context("a configuration without a database")?;
            let place = Place { pid: mesh.process(&name)?.pid(), database: database.to_owned() };
            processes.insert(name, place);
        }
        Ok(Self { processes })
    }

    pub(super) async fn read(&mut self) -> Result<Reading> {
        let mut usage = BTreeMap::new();
        for (name, place) in &self.processes {
            let mut used = Usage {
                cpu: cpu(place.pid).with_context(|| format!("{name} has ended"))?,
                memory: memory(place.pid)?,
                ..Usage::default()
            };
            let mut database = PgConnection::connect(&place.database).await?;
            let sizes = sqlx::query("SELECT pg_database_size(current_database())").fetch_one(&mut database).await?;
            used.disk = sizes.try_get(0)?;
            let others =
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
            let backends = sqlx::query(others).fetch_all(&mut database).await?;
            used.connections = i64::try_from(backends.len())?;
            for backend in backends {
                let pid: i32 = backend.try_get(0)?;
                // One that has just been closed has used what it used.
                used.database_cpu += u32::try_from(pid).ok().and_then(|pid| cpu(pid).ok()).unwrap_or_default();
            }
            database.close().await?;
            usage.insert(name.clone(), used);
        }
        Ok(Reading { at: Instant::now(), usage })
    }

    pub(super) async fn since(&mut self, before: &Reading) -> Result<Cost> {
        let after = self.read().await?;
        let mut cost =
            Cost { seconds: (after.at - before.at).as_secs_f64(), used: BTreeMap::new(), memory: BTreeMap::new() };
        for (name, now) in after.usage {
            let then = before.usage.get(&name).copied().unwrap_or_default();
            let used = Usage {
                cpu: now.cpu - then.cpu,
                memory: now.memory - then.memory,
                database_cpu: (now.database_cpu - then.database_cpu).max(0.0),
                disk: now.disk - then.disk,
                connections: now.connections,
            };
            cost.used.insert(name.clone(), used);
            cost.memory.insert(name, now.memory);
        }
        Ok(cost)
    }
}

/// How many processes wanted to run at once, over the last minute: what else the machine has to do.
pub(super) fn load() -> Result<String> {
    let load = fs::read_to_string("/proc/loadavg")?;
    load.split_whitespace().next().map(str::to_owned).context("/proc/loadavg has another form")
}

/// User and system time of a process, in seconds.
fn cpu(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    ticks(&stat).map(|ticks| ticks / TICKS).context("/proc/PID/stat has another form")
}

/// Fields 14 and 15; the second may hold spaces, in parentheses.
fn ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    Some(fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?)
}

/// Resident memory of a process, in bytes.
fn memory(pid: u32) -> Result<i64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a process without memory")?;
    let kilobytes: i64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1_024)
}

impl Cost {
    /// Added up over the processes whose name begins so.
    pub(super) fn of(&self, prefix: &str) -> Usage {
        let ours = self.used.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, usage)| usage);
        ours.fold(Usage::default(), |sum, usage| Usage {
            cpu: sum.cpu + usage.cpu,
            memory: sum.memory + usage.memory,
            database_cpu: sum.database_cpu + usage.database_cpu,
            disk: sum.disk + usage.disk,
            connections: sum.connections + usage.connections,
        })
    }

    /// Memory in use at the end, added up in the same way.
    pub(super) fn memory_of(&self, prefix: &str) -> i64 {
        self.memory.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, bytes)| bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_name_with_spaces_and_parentheses() {
        let stat = "42 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0";
        assert_eq!(ticks(stat), Some(300.0));
    }

    #[test]
    fn costs_are_added_up_by_the_beginning_of_a_name() {
        let usage = |cpu| Usage { cpu, connections: 2, ..Usage::default() };
        let used = [("connector-a", 1.0), ("connector-b", 2.0), ("intake", 4.0)];
        let used = used.map(|(name, cpu)| (name.to_owned(), usage(cpu))).into();
        let cost = Cost { seconds: 1.0, used, memory: BTreeMap::from([("connector-a".to_owned(), 7)]) };
        assert_eq!((cost.of("connector").cpu, cost.of("connector").connections), (3.0, 4));
        assert_eq!(cost.memory_of("connector"), 7);
    }
}
