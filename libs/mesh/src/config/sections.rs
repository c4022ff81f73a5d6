//! The sections every service has. Field names are the keys of the file and, in upper case, of the environment.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{Endpoint, Fault, Secret};
use crate::{
    Primary,
    identity::{IdPattern, Role, RoleMap, ambiguities},
};

/// `[server]`: where and for whom a service listens.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Where calls are taken, with TLS and client certificates only.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// What this replica is called, unlike every other of its service; the machine's name (`HOSTNAME`) where absent.
    #[serde(default)]
    pub replica: Option<String>,
    /// Where `/livez`, `/readyz` and `/status` answer, in plain text; for the machine's own network only.
    #[serde(default = "default_probe_listen")]
    pub probe_listen: SocketAddr,
    /// Own certificate and key, and who may issue callers' certificates. Re-read when the files change.
    pub tls: TlsFiles,
    /// Which SPIFFE ids have which role. A role that is not listed is nobody's.
    #[serde(default)]
    pub roles: RoleMap,
    /// Roles that may ask for reflection.
    #[serde(default = "default_reflection")]
    pub reflection: Vec<Role>,
    /// What bounds the work of this replica.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// How this replica goes down.
    #[serde(default)]
    pub drain: DrainConfig,
    /// Whose tokens are accepted; needed where a service is served for persons.
    pub persons: Option<PersonsConfig>,
    /// Agency systems by SPIFFE id; a person's token must be of the system's agency.
    #[serde(default)]
    pub systems: BTreeMap<String, SystemConfig>,
}

/// Certificate, key and trusted authorities, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// Own certificate chain, leaf first.
    pub cert: PathBuf,
    /// Own private key (PKCS #8, SEC 1 or PKCS #1).
    pub key: PathBuf,
    /// The authorities whose certificates the other side may have.
    pub client_ca: PathBuf,
}

/// `[server.limits]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// The largest request message, in bytes. Handlers may set less; tonic's own default is 4 MiB.
    pub max_message_bytes: usize,
    /// How many calls other than streams may be in hand at once.
    pub max_concurrent: usize,
    /// How many streams may be open at once.
    pub max_streams: usize,
    /// Time for a call whose caller states none, in milliseconds.
    pub default_deadline_ms: u64,
    /// The longest time a caller is given, in milliseconds; for streams, until the response begins.
    pub max_deadline_ms: u64,
    /// How long a connection lives before it is closed in good order, so that new certificates come into use, in seconds.
    pub max_connection_age_seconds: u64,
    /// How many replicas share the rates below. Without Redis each applies its share of them.
    pub replicas: NonZeroU32,
    /// How long a call waits for Redis to say whether a budget is left, in milliseconds.
    pub shared_timeout_ms: u64,
    /// Rates shared by all replicas.
    pub rates: RatesConfig,
}

/// `[server.limits.rates]`: calls allowed per system, unit and person.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RatesConfig {
    /// Per calling system (its certificate).
    pub system: Rate,
    /// Per unit of an agency.
    pub unit: Rate,
    /// Per person.
    pub person: Rate,
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Calls per second in the long run.
    pub per_second: NonZeroU32,
    /// Calls at once after a pause.
    pub burst: NonZeroU32,
}

/// `[server.drain]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DrainConfig {
    /// Between saying "not serving" and refusing connections, in milliseconds.
    pub grace_ms: u64,
    /// For the work in hand to finish, in milliseconds.
    pub limit_ms: u64,
}

/// `[server.persons]`: which tokens are accepted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonsConfig {
    /// The only issuer (`iss`).
    pub issuer: String,
    /// The audience a token must be for (`aud`).
    pub audience: String,
    /// The issuer's public keys as a JSON Web Key Set; re-read when the file changes.
    pub jwks: PathBuf,
    /// Tolerance for clocks that differ, in seconds.
    #[serde(default = "default_leeway")]
    pub leeway_seconds: u32,
}

/// One entry of `[server.systems]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemConfig {
    /// The agency whose persons call through this system.
    pub agency: String,
    /// What people call the system.
    pub name: String,
}

/// One entry of `[peers]`: a service that this one calls.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// Where its replicas are, such as `https://tracking:8443`. Calls go round; an endpoint that is down is passed over.
    pub endpoints: Vec<Endpoint>,
    /// Whom the certificate must name: a SPIFFE id or a DNS name. The endpoint's host where absent.
    pub server_name: Option<String>,
    /// Own certificate and the peer's authorities, where they are not those of `[server.tls]`.
    pub tls: Option<PeerTls>,
    /// Time for a call where neither the caller nor the work in hand states one, in milliseconds.
    #[serde(default = "default_peer_deadline")]
    pub deadline_ms: u64,
    /// Time to connect, in milliseconds.
    #[serde(default = "default_connect_timeout")]
    pub connect_timeout_ms: u64,
}

/// `[peers.NAME.tls]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerTls {
    /// Own certificate chain, leaf first.
    pub cert: PathBuf,
    /// Own private key.
    pub key: PathBuf,
    /// The authorities the peer's certificate may be from.
    pub ca: PathBuf,
}

/// `[database]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `postgres://…`; may hold a password.
    pub url: Secret<String>,
    /// Connections this replica may hold.
    #[serde(default = "default_max_connections")]
    pub max_connections: u32,
    /// Who brings the tables up to date.
    #[serde(default)]
    pub migrate: MigrateWhen,
    /// What is acknowledged must be on another machine too: warns, at the start and whenever it changes, while Postgres
    /// names no synchronous standby.
    #[serde(default)]
    pub expect_synchronous_standby: bool,
}

/// When the database's tables are brought up to date.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MigrateWhen {
    /// At the service's own start, so it connects as the tables' owner.
    #[default]
    Start,
    /// By the command `migrate` before: the service looks whether that was done, and is not ready until it was.
    Check,
}

/// `[redis]`: hints and budgets. Everything works without it. Where it is: `url`, or `sentinels` and `master`, or
/// `cluster`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisConfig {
    /// `redis://…` or `rediss://…`; may hold a password.
    pub url: Option<Secret<String>>,
    /// Sentinels to ask for the master, `redis://…` or `rediss://…`; may hold passwords. Redis itself is spoken to by
    /// TLS where they are.
    pub sentinels: Vec<Secret<String>>,
    /// What the sentinels call the Redis that is used.
    pub master: Option<String>,
    /// Nodes of a Redis Cluster, `redis://…` or `rediss://…`, that are asked for the others. One that answers is enough.
    pub cluster: Vec<Secret<String>>,
    /// The user of the Redis that sentinels name, or of the cluster's nodes; the default user where absent.
    pub username: Option<String>,
    /// That user's password.
    pub password: Option<Secret<String>>,
    /// The password of sentinels whose URL holds none.
    pub sentinel_password: Option<Secret<String>>,
}

/// `[log]`: the identity of the service's own log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// Origin of its checkpoints, such as `police.example/haetae/intake`; the log's id is derived from it.
    pub origin: String,
    /// Its Ed25519 signing key, PKCS #8 PEM.
    pub key: PathBuf,
}

/// `[telemetry]`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// Where traces and metrics go (OTLP over gRPC, `http://host:4317`); nowhere where absent.
    pub otlp_endpoint: Option<String>,
    /// How log lines look.
    pub format: LogFormat,
    /// What is logged: a level or a filter such as `info,haetae_mesh=debug`.
    pub level: String,
    /// How often metrics are sent, in milliseconds.
    pub metrics_every_ms: u64,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Text,
}

fn default_listen() -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, 8443).into()
}

fn default_probe_listen() -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, 8080).into()
}

fn default_reflection() -> Vec<Role> {
    vec![Role::Operator]
}

fn default_leeway() -> u32 {
    30
}

fn default_peer_deadline() -> u64 {
    2_000
}

fn default_connect_timeout() -> u64 {
    1_000
}

fn default_max_connections() -> u32 {
    8
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_message_bytes: 4 * 1024 * 1024,
            max_concurrent: 1024,
            max_streams: 1024,
            default_deadline_ms: 5_000,
            max_deadline_ms: 30_000,
            max_connection_age_seconds: 3_600,
            replicas: NonZeroU32::MIN,
            shared_timeout_ms: 20,
            rates: RatesConfig::default(),
        }
    }
}

impl Default for RatesConfig {
    fn default() -> Self {
        Self { system: Rate::new(500, 1_000), unit: Rate::new(100, 200), person: Rate::new(20, 40) }
    }
}

impl Rate {
    /// A rate; zeros count as one, since a bucket that never fills is a door that never opens.
    pub const fn new(per_second: u32, burst: u32) -> Self {
        const fn at_least_one(n: u32) -> NonZeroU32 {
            match NonZeroU32::new(n) {
                Some(n) => n,
                None => NonZeroU32::MIN,
            }
        }
        Self { per_second: at_least_one(per_second), burst: at_least_one(burst) }
    }
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self { grace_ms: 2_000, limit_ms: 20_000 }
    }
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { otlp_endpoint: None, format: LogFormat::default(), level: "info".into(), metrics_every_ms: 10_000 }
    }
}

impl TlsFiles {
    /// The same certificate for calling: what may call us may be called by us.
    pub fn for_calling(&self) -> PeerTls {
        PeerTls { cert: self.cert.clone(), key: self.key.clone(), ca: self.client_ca.clone() }
    }
}

impl ServerConfig {
    /// What is wrong with it beyond what its types say, under the given section name.
    pub fn faults(&self, at: &str) -> Vec<Fault> {
        let mut faults: Vec<Fault> =
            ambiguities(&self.roles).into_iter().map(|what| Fault::new(format!("{at}.roles"), what)).collect();
        for (key, file) in
            [("tls.cert", &self.tls.cert), ("tls.key", &self.tls.key), ("tls.client_ca", &self.tls.client_ca)]
        {
            faults.extend(Fault::unreadable(format!("{at}.{key}"), file));
        }
        if let Some(persons) = &self.persons {
            faults.extend(Fault::unreadable(format!("{at}.persons.jwks"), &persons.jwks));
        }
        for id in self.systems.keys() {
            if let Err(what) = id.parse::<IdPattern>() {
                faults.push(Fault::new(format!("{at}.systems"), what));
            }
        }
        let limits = &self.limits;
        if limits.default_deadline_ms == 0 || limits.default_deadline_ms > limits.max_deadline_ms {
            faults.push(Fault::new(
                format!("{at}.limits.default_deadline_ms"),
                "must be more than 0 and at most max_deadline_ms",
            ));
        }
        faults
    }
}

impl RedisConfig {
    /// What is wrong with it beyond what its types say, under the given section name.
    pub fn faults(&self, at: &str) -> Vec<Fault> {
        Primary::of(self).err().map(|what| Fault::new(at, format!("{what:#}"))).into_iter().collect()
    }
}

impl PeerConfig {
    /// What is wrong with it beyond what its types say, under the given section name.
    pub fn faults(&self, at: &str) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.endpoints.is_empty() {
            faults.push(Fault::new(format!("{at}.endpoints"), "needs at least one endpoint"));
        }
        if let Some(tls) = &self.tls {
            for (key, file) in [("cert", &tls.cert), ("key", &tls.key), ("ca", &tls.ca)] {
                faults.extend(Fault::unreadable(format!("{at}.tls.{key}"), file));
            }
        }
        if self.deadline_ms == 0 {
            faults.push(Fault::new(format!("{at}.deadline_ms"), "must be more than 0"));
        }
        faults
    }

    /// Time to connect.
    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }
}
