//! Configuration: defaults ← file ← environment, and nothing that nobody reads.
//!
//! `HAETAE__SERVER__LISTEN=0.0.0.0:8443` sets `listen` in `[server]`; a value that starts with `[` or `{` is read
//! as a TOML list or table. A key that no section knows is a fault, in the file as in the environment.

mod endpoint;
mod secret;
mod sections;

use std::{collections::BTreeMap, fmt, path::Path};

use ::config::{Map, Value, ValueKind};
pub use endpoint::Endpoint;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::{
    secret::Secret,
    sections::{
        DatabaseConfig, DrainConfig, LimitsConfig, LogConfig, LogFormat, MigrateWhen, PeerConfig, PeerTls,
        PersonsConfig, Rate, RatesConfig, RedisConfig, ServerConfig, SystemConfig, TelemetryConfig, TlsFiles,
    },
};
pub use crate::identity::{IdPattern, RoleMap};

const PREFIX: &str = "HAETAE__";

/// A service's own section, `[service]`. Derive serde's traits with `deny_unknown_fields`.
pub trait Section: Serialize + DeserializeOwned {
    /// What is wrong beyond what the types say. `at` is the section's name, to be put before a key's name.
    fn faults(&self, at: &str) -> Vec<Fault> {
        let _ = at;
        Vec::new()
    }
}

/// A service without settings of its own.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

impl Section for Nothing {}

/// Everything a service is told at its start.
#[derive(Debug, Clone, Serialize)]
pub struct Settings<T> {
    /// Where and for whom it listens.
    pub server: ServerConfig,
    /// Whom it calls. Peers without a `tls` table of their own have been given the server's.
    pub peers: BTreeMap<String, PeerConfig>,
    /// Its database.
    pub database: Option<DatabaseConfig>,
    /// Hints and budgets.
    pub redis: RedisConfig,
    /// What it tells about itself.
    pub telemetry: TelemetryConfig,
    /// Its own log.
    pub log: Option<LogConfig>,
    /// Its own section.
    pub service: T,
}

/// Something wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The key, such as `server.limits.max_streams`.
    pub at: String,
    /// What is wrong with it.
    pub what: String,
}

impl Fault {
    /// A fault.
    pub fn new(at: impl Into<String>, what: impl Into<String>) -> Self {
        Self { at: at.into(), what: what.into() }
    }

    /// A fault where a file cannot be read.
    pub fn unreadable(at: impl Into<String>, file: &Path) -> Option<Self> {
        let error = std::fs::File::open(file).err()?;
        Some(Self::new(at, format!("{}: {error}", file.display())))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.what)
    }
}

/// Every fault found, one a line.
#[derive(Debug, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Fault::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl<T: Section> Settings<T> {
    /// Reads the file and lays the environment over it.
    ///
    /// # Errors
    /// Every section's fault, and every fault of the sections that could be read.
    pub fn load(file: Option<&Path>, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, Faults> {
        Self::from_parts(&text_of(file)?, environment)
    }

    fn from_parts(text: &str, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, Faults> {
        let mut sections = layered(text, environment)?;
        let mut faults = Vec::new();

        let server: Option<ServerConfig> = required(&mut sections, "server", &mut faults);
        let peers: Option<BTreeMap<String, PeerConfig>> = or_empty(&mut sections, "peers", &mut faults);
        let database = optional(&mut sections, "database", &mut faults);
        let redis: Option<RedisConfig> = or_empty(&mut sections, "redis", &mut faults);
        let telemetry = or_empty(&mut sections, "telemetry", &mut faults);
        let log: Option<LogConfig> = optional(&mut sections, "log", &mut faults);
        let service: Option<T> = or_empty(&mut sections, "service", &mut faults);
        for unknown in sections.keys() {
            faults.push(Fault::new(unknown, "no such section"));
        }

        if let Some(server) = &server {
            faults.extend(server.faults("server"));
        }
        for (name, peer) in peers.iter().flatten() {
            faults.extend(peer.faults(&format!("peers.{name}")));
        }
        if let Some(redis) = &redis {
            faults.extend(redis.faults("redis"));
        }
        if let Some(log) = &log {
            faults.extend(Fault::unreadable("log.key", &log.key));
        }
        if let Some(service) = &service {
            faults.extend(service.faults("service"));
        }
        match (server, peers, redis, telemetry, service) {
            (Some(server), Some(mut peers), Some(redis), Some(telemetry), Some(service)) if faults.is_empty() => {
                for peer in peers.values_mut() {
                    peer.tls.get_or_insert_with(|| server.tls.for_calling());
                }
                Ok(Self { server, peers, database, redis, telemetry, log, service })
            }
            _ => Err(Faults(faults)),
        }
    }

    /// The effective configuration as TOML, secrets hidden.
    ///
    /// # Errors
    /// When the service's own section cannot be written as TOML.
    pub fn effective(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(self)
    }
}

/// `[database]` and nothing else: whoever only brings tables up to date needs no certificate, no key and no file of the
/// service's.
///
/// # Errors
/// When the file cannot be read, or the section is missing or at fault.
pub(crate) fn database_alone(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<DatabaseConfig, Faults> {
    let mut sections = layered(&text_of(file)?, environment)?;
    let mut faults = Vec::new();
    required(&mut sections, "database", &mut faults).ok_or(Faults(faults))
}

fn text_of(file: Option<&Path>) -> Result<String, Faults> {
    file.map_or(Ok(String::new()), |path| {
        std::fs::read_to_string(path)
            .map_err(|error| Faults(vec![Fault::new("file", format!("{}: {error}", path.display()))]))
    })
}

/// The file's sections with the environment laid over them.
fn layered(text: &str, environment: impl IntoIterator<Item = (String, String)>) -> Result<Map<String, Value>, Faults> {
    ::config::Config::builder()
        .add_source(::config::File::from_str(text, ::config::FileFormat::Toml))
        .add_source(Environment::read(environment))
        .build()
        .and_then(::config::Config::try_deserialize)
        .map_err(|error| Faults(vec![Fault::new("file", error.to_string())]))
}

fn read<V: DeserializeOwned>(name: &str, value: Value, faults: &mut Vec<Fault>) -> Option<V> {
    value.try_deserialize().map_err(|error| faults.push(Fault::new(name, error.to_string()))).ok()
}

fn required<V: DeserializeOwned>(sections: &mut Map<String, Value>, name: &str, faults: &mut Vec<Fault>) -> Option<V> {
    let Some(value) = sections.remove(name) else {
        faults.push(Fault::new(name, "missing"));
        return None;
    };
    read(name, value, faults)
}

fn optional<V: DeserializeOwned>(sections: &mut Map<String, Value>, name: &str, faults: &mut Vec<Fault>) -> Option<V> {
    let value = sections.remove(name)?;
    read(name, value, faults)
}

fn or_empty<V: DeserializeOwned>(sections: &mut Map<String, Value>, name: &str, faults: &mut Vec<Fault>) -> Option<V> {
    let value = sections.remove(name).unwrap_or_else(|| Map::<String, Value>::new().into());
    read(name, value, faults)
}

/// The environment as tables. The library's own source cannot say lists of unknown keys, and drops empty segments.
#[derive(Debug, Clone)]
struct Environment(Map<String, Value>);

impl Environment {
    fn read(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut tables = Map::new();
        for (name, text) in variables {
            if let Some(path) = name.strip_prefix(PREFIX) {
                let keys: Vec<String> = path.split("__").map(str::to_lowercase).collect();
                put(&mut tables, &keys, Value::new(Some(&name), literal(&text)));
            }
        }
        Self(tables)
    }
}

fn put(table: &mut Map<String, Value>, keys: &[String], value: Value) {
    match keys {
        [] => {}
        [key] => {
            table.insert(key.clone(), value);
        }
        [key, rest @ ..] => {
            let at = table.entry(key.clone()).or_default();
            if !matches!(at.kind, ValueKind::Table(_)) {
                at.kind = ValueKind::Table(Map::new());
            }
            if let ValueKind::Table(inner) = &mut at.kind {
                put(inner, rest, value);
            }
        }
    }
}

/// Scalars stay text, which the reading type turns into what it needs; lists and tables are TOML.
fn literal(text: &str) -> ValueKind {
    #[derive(Deserialize)]
    struct Line {
        v: Value,
    }
    if text.starts_with(['[', '{'])
        && let Ok(line) = toml::from_str::<Line>(&format!("v = {text}"))
    {
        return line.v.kind;
    }
    ValueKind::String(text.to_owned())
}

impl ::config::Source for Environment {
    fn clone_into_box(&self) -> Box<dyn ::config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ::config::ConfigError> {
        Ok(self.0.clone())
    }
}

#[cfg(test)]
mod tests;
