//! What a rehearsal mesh needs on disk: certificates, keys, the registry, one configuration per process.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use haetae_seal::checkpoint::LogKey;
use haetae_testkit::{
    certs::{Ca, Leaf},
    keys::SigningKey,
    oidc::Issuer,
    ports::free_port,
};
use serde_json::{Value, json};

use crate::{
    Actor,
    agency::{Who, in_a_month, officer, warrant},
    regtest::{BITCOIN, SATOSHI},
};

/// The rehearsal chain (CAIP-2).
pub const CHAIN: &str = "eip155:31337";

/// The rehearsal exchanges: id and name for people.
pub const EXCHANGES: [(&str, &str); 6] = [
    ("upbit", "Upbit"),
    ("bithumb", "Bithumb"),
    ("coinone", "Coinone"),
    ("korbit", "Korbit"),
    ("gopax", "Gopax"),
    ("binance", "Binance"),
];

const TRUST_DOMAIN: &str = "spiffe://haetae.test";
const ISSUER: &str = "https://login.police.test";
const AUDIENCE: &str = "haetae";

/// How many replicas of each core service there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replicas {
    /// One: a demonstration.
    One,
    /// Two: the tests of the whole mesh.
    Two,
}

/// Where a process listens.
#[derive(Clone, Copy, Debug)]
pub struct Listener {
    /// Calls, with TLS.
    pub calls: u16,
    /// Probes, in plain text.
    pub probes: u16,
}

/// What the processes are connected to.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Postgres: the URL of a database without its name.
    pub postgres: String,
    /// Redis, where there is one.
    pub redis: Option<String>,
    /// The Ethereum node: HTTP and WebSocket.
    pub node: (String, String),
    /// The token that exchanges list beside the coin (CAIP-19).
    pub token: String,
    /// The Bitcoin node, where there is one: HTTP, with user and password.
    pub bitcoin: Option<String>,
    /// Where traces and metrics go.
    pub otlp: Option<String>,
}

impl Surroundings {
    /// The chains that a rehearsal exchange watches.
    fn chains_of_an_exchange(&self, keys: &Path, exchange: &str) -> Value {
        let chain = |id: &str, http: &str, assets: &[&str]| {
            json!({
                "id": id,
                "http": http,
                "confirmations": 2,
                "hot_wallet_key_file": keys.join(format!("{exchange}.wallet")),
                "seed_file": keys.join(format!("{exchange}.seed")),
                "assets": assets,
            })
        };
        let mut ethereum = chain(CHAIN, &self.node.0, &[&format!("{CHAIN}/slip44:60"), &self.token]);
        ethereum["ws"] = json!(self.node.1);
        let bitcoin = self.bitcoin.iter().map(|node| chain(BITCOIN, node, &[SATOSHI]));
        std::iter::once(ethereum).chain(bitcoin).collect()
    }
}

/// One process: what to run, where it listens, which database it has.
#[derive(Clone, Debug)]
pub struct Room {
    /// Such as `freeze-2` or `connector-upbit`.
    pub name: String,
    /// The program.
    pub program: &'static str,
    /// Its configuration.
    pub config: PathBuf,
    /// Where it listens.
    pub listener: Listener,
    /// Its database.
    pub database: String,
}

/// A rehearsal mesh on disk.
pub struct House {
    /// The folder that holds everything.
    pub folder: PathBuf,
    /// Persons' tokens.
    pub issuer: Issuer,
    mesh_ca: Ca,
    exchange_ca: Ca,
    replicas: Replicas,
    listeners: BTreeMap<String, Listener>,
    controls: BTreeMap<String, Listener>,
    verifiers: BTreeMap<String, String>,
}

/// The purposes that the agency's keys are pinned for, and the service that holds each.
const PURPOSES: [(&str, &str); 4] =
    [("authorise", "intake"), ("arrive", "tracking"), ("confirm", "tracking"), ("freeze", "freeze")];

impl House {
    /// Makes certificates and keys in an empty folder, and picks ports.
    ///
    /// # Errors
    /// When the folder cannot be written or no port is free.
    pub fn build(folder: &Path, replicas: Replicas) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let mut house = Self {
            folder: folder.to_owned(),
            issuer: Issuer::new(ISSUER, AUDIENCE)?,
            mesh_ca: Ca::new("Haetae rehearsal mesh")?,
            exchange_ca: Ca::new("Rehearsal exchanges")?,
            replicas,
            listeners: BTreeMap::new(),
            controls: BTreeMap::new(),
            verifiers: BTreeMap::new(),
        };
        house.pick_ports()?;
        house.issue_certificates()?;
        house.make_keys()?;
        fs::write(house.path("jwks.json"), house.issuer.jwks_json())?;
        Ok(house)
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where a replica listens.
    ///
    /// # Errors
    /// When there is no process of that name.
    pub fn listener(&self, room: &str) -> Result<Listener> {
        self.listeners.get(room).copied().with_context(|| format!("no process is called {room}"))
    }

    /// Where a rehearsal exchange is driven.
    ///
    /// # Errors
    /// When there is no exchange of that name.
    pub fn control(&self, exchange: &str) -> Result<Listener> {
        self.controls.get(exchange).copied().with_context(|| format!("no exchange is called {exchange}"))
    }

    /// The replicas of a core service.
    pub fn replicas_of(&self, service: &str) -> Vec<String> {
        match self.replicas {
            Replicas::One => vec![service.to_owned()],
            Replicas::Two => vec![format!("{service}-1"), format!("{service}-2")],
        }
    }

    /// Where a core service's replicas listen.
    ///
    /// # Errors
    /// When there is no service of that name.
    pub fn endpoints(&self, service: &str) -> Result<Vec<String>> {
        let at = |room: String| Ok(format!("https://127.0.0.1:{}", self.listener(&room)?.calls));
        self.replicas_of(service).into_iter().map(at).collect()
    }

    /// Logs in the mesh: the service as the registry names it, where it listens, its verifier key.
    pub fn logs(&self) -> Vec<(String, Vec<String>, String)> {
        self.verifiers
            .iter()
            .map(|(service, verifier)| {
                let room = service.replace('/', "-");
                let endpoints = match self.endpoints(&room) {
                    Ok(endpoints) => endpoints,
                    Err(_) => vec![format!("https://127.0.0.1:{}", self.listeners[&room].calls)],
                };
                (service.clone(), endpoints, verifier.clone())
            })
            .collect()
    }

    /// Another certificate of the mesh's authority, for callers that must be refused.
    ///
    /// # Errors
    /// When it cannot be issued.
    pub fn stranger(&self, spiffe_path: &str) -> Result<haetae_testkit::certs::Identity> {
        self.mesh_ca.issue(&Leaf { spiffe: Some(&format!("{TRUST_DOMAIN}/{spiffe_path}")), ..Leaf::default() })
    }

    fn pick_ports(&mut self) -> Result<()> {
        let listener = || anyhow::Ok(Listener { calls: free_port()?, probes: free_port()? });
        for service in ["intake", "tracking", "freeze"] {
            for room in self.replicas_of(service) {
                self.listeners.insert(room, listener()?);
            }
        }
        for (exchange, _) in EXCHANGES {
            self.listeners.insert(format!("connector-{exchange}"), listener()?);
            self.listeners.insert(format!("sandbox-{exchange}"), listener()?);
            self.controls.insert(exchange.to_owned(), listener()?);
        }
        Ok(())
    }

    fn issue_certificates(&self) -> Result<()> {
        let issue = |ca: &Ca, name: &str, dns: &str, spiffe: &str| {
            ca.issue(&Leaf { dns: &[dns], spiffe: Some(spiffe), ..Leaf::default() })?
                .write_to(&self.path("certs").join(name))
        };
        for service in ["intake", "tracking", "freeze"] {
            issue(&self.mesh_ca, service, service, &format!("{TRUST_DOMAIN}/{service}"))?;
        }
        for (role, name) in
            [("agency", "knp-portal"), ("agency", "fss-portal"), ("auditor", "inspector"), ("operator", "ops")]
        {
            issue(&self.mesh_ca, name, name, &format!("{TRUST_DOMAIN}/{role}/{name}"))?;
        }
        for (exchange, _) in EXCHANGES {
            let connector = format!("connector-{exchange}");
            issue(&self.mesh_ca, &connector, &connector, &format!("{TRUST_DOMAIN}/connector/{exchange}"))?;
            // Who drives a rehearsal exchange belongs to the mesh, so its driving side has a certificate from there.
            let control = format!("control-{exchange}");
            issue(&self.mesh_ca, &control, &control, &format!("{TRUST_DOMAIN}/sandbox/{exchange}"))?;
            let host = format!("api.{exchange}.test");
            issue(&self.exchange_ca, exchange, &host, &format!("spiffe://exchanges.test/{exchange}"))?;
            issue(
                &self.exchange_ca,
                &format!("at-{exchange}"),
                "knp.test",
                &format!("spiffe://exchanges.test/clients/{exchange}"),
            )?;
        }
        fs::write(self.path("certs/exchanges-ca.crt"), self.exchange_ca.cert_pem())?;
        Ok(())
    }

    fn make_keys(&mut self) -> Result<()> {
        let keys = self.path("keys");
        fs::create_dir_all(&keys)?;
        for (purpose, _) in PURPOSES {
            SigningKey::ed25519()?.write_to(&keys, purpose)?;
        }
        for (exchange, _) in EXCHANGES {
            // Exchanges choose their algorithm; both kinds take part.
            let key = if exchange == "binance" { SigningKey::p256()? } else { SigningKey::ed25519()? };
            key.write_to(&keys, exchange)?;
            fs::write(keys.join(format!("{exchange}.wallet")), hot_wallet(exchange).key())?;
            fs::write(keys.join(format!("{exchange}.seed")), Actor::named(&format!("seed of {exchange}")).key())?;
        }
        let connectors = EXCHANGES.iter().map(|(exchange, _)| format!("connector/{exchange}"));
        for service in ["intake", "tracking", "freeze"].map(str::to_owned).into_iter().chain(connectors) {
            let key = LogKey::generate();
            let file = keys.join(format!("log-{}.pem", service.replace('/', "-")));
            fs::write(&file, key.to_pkcs8_pem().as_bytes())?;
            self.verifiers.insert(service.clone(), key.verifier(&origin(&service))?.to_string());
        }
        Ok(())
    }

    fn write_registry(&self, around: &Surroundings) -> Result<()> {
        let bitcoin = around.bitcoin.as_ref().map(|_| BITCOIN);
        let chains: Vec<&str> = std::iter::once(CHAIN).chain(bitcoin).collect();
        let public = |name: &str| fs::read_to_string(self.path("keys").join(format!("{name}.pub.pem")));
        let agency_keys = PURPOSES
            .iter()
            .map(|(purpose, _)| Ok(json!({ "purpose": purpose, "public_key": public(purpose)? })))
            .collect::<Result<Vec<_>>>()?;
        let logs: Vec<_> = self
            .verifiers
            .iter()
            .map(|(service, verifier)| json!({ "service": service, "verifier": verifier }))
            .collect();
        let exchanges = EXCHANGES
            .iter()
            .map(|(exchange, name)| {
                Ok(json!({
                    "id": exchange,
                    "display_name": name,
                    "endpoints": [format!("https://127.0.0.1:{}", self.listener(&format!("sandbox-{exchange}"))?.calls)],
                    "server_name": format!("api.{exchange}.test"),
                    "ca": "certs/exchanges-ca.crt",
                    "confirm_within": "2s",
                    "freeze_within": "2s",
                    "chains": chains,
                    "hotline": { "name": format!("{name} rehearsal desk"), "phone": "+82-2-0000-0000" },
                    "key": [{ "public_key": public(exchange)? }],
                }))
            })
            .collect::<Result<Vec<_>>>()?;
        let registry = json!({ "agency": { "key": agency_keys, "log": logs }, "exchange": exchanges });
        fs::write(self.path("exchanges.toml"), toml::to_string(&registry)?)?;
        Ok(())
    }

    /// Writes the registry, and every process's configuration.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn furnish(&self, around: &Surroundings) -> Result<Vec<Room>> {
        self.write_registry(around)?;
        let mut rooms = Vec::new();
        for (exchange, name) in EXCHANGES {
            rooms.push(self.sandbox(around, exchange, name)?);
        }
        for service in ["intake", "tracking", "freeze"] {
            for room in self.replicas_of(service) {
                rooms.push(self.core(around, service, &room)?);
            }
        }
        for (exchange, _) in EXCHANGES {
            rooms.push(self.connector(around, exchange)?);
        }
        Ok(rooms)
    }

    /// Writes the profile of the command line for the rehearsal's people, and says where it is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_profile(&self, token: &str) -> Result<PathBuf> {
        let files = |name: &str| {
            json!({
                "cert": format!("certs/{name}/tls.crt"),
                "key": format!("certs/{name}/tls.key"),
                "ca": format!("certs/{name}/ca.crt"),
            })
        };
        let people: BTreeMap<_, _> = Who::ALL.map(|who| (who.slug(), format!("tokens/{}", who.slug()))).into();
        let mut logs = Vec::new();
        for (service, endpoints, verifier) in self.logs() {
            let server_name = service.replace('/', "-");
            logs.push(json!({
                "service": service,
                "endpoints": endpoints,
                "server_name": server_name,
                "verifier": verifier,
                "tls": files("inspector"),
            }));
        }
        let warrant = warrant();
        let day = |at: Option<prost_types::Timestamp>| -> Result<toml::value::Datetime> {
            let at = time::OffsetDateTime::from_unix_timestamp(at.context("a time")?.seconds)?;
            Ok(at.format(&time::format_description::well_known::Rfc3339)?.parse()?)
        };
        let profile = json!({
            "purpose": "rehearsal of case 2026-cyber-00412",
            "chain": CHAIN,
            "registry": "exchanges.toml",
            "default_person": Who::JiWoo.slug(),
            "default_case": "2026-cyber-00412",
            "token_files": people,
            "intake": { "endpoints": self.endpoints("intake")?, "server_name": "intake", "tls": files("knp-portal") },
            "brake": { "case_number": "operations", "legal_basis": "operations" },
            "asset": [
                { "id": format!("{CHAIN}/slip44:60"), "symbol": "ETH", "decimals": 18 },
                { "id": token, "symbol": "rKRW", "decimals": 6 },
                { "id": SATOSHI, "symbol": "rBTC", "decimals": 8 },
            ],
            "log": logs,
        });
        let mut profile: toml::Table = toml::Value::try_from(profile)?.try_into()?;
        let officer = officer();
        profile.insert(
            "officer".to_owned(),
            toml::Value::try_from(BTreeMap::from([
                ("name", officer.name),
                ("title", officer.title),
                ("address", officer.address),
                ("email", officer.email),
                ("phone", officer.phone),
            ]))?,
        );
        let mut document = toml::Table::new();
        document.insert("number".to_owned(), warrant.number.into());
        document.insert("issuer".to_owned(), warrant.issuer.into());
        document.insert("issued_at".to_owned(), day(warrant.issued_at)?.into());
        document.insert("valid_until".to_owned(), day(warrant.valid_until)?.into());
        document.insert("sha256".to_owned(), hex::encode(warrant.sha256).into());
        let mut confidentiality = toml::Table::new();
        confidentiality.insert("customer_may_be_told".to_owned(), false.into());
        confidentiality.insert("deferral_ground".to_owned(), "telling the customer would let the rest be moved".into());
        confidentiality.insert("notice_due".to_owned(), day(in_a_month())?.into());
        let mut case = toml::Table::new();
        case.insert("number".to_owned(), "2026-cyber-00412".into());
        case.insert("legal_basis".to_owned(), "warrant".into());
        case.insert(
            "summary".to_owned(),
            "Tokens and coins were taken from a private wallet by a phishing site.".into(),
        );
        case.insert("document".to_owned(), document.into());
        case.insert("confidentiality".to_owned(), confidentiality.into());
        profile.insert("case".to_owned(), toml::Value::Array(vec![case.into()]));
        let file = self.path("profile.toml");
        fs::write(&file, toml::to_string(&profile)?)?;
        Ok(file)
    }

    fn core(&self, around: &Surroundings, service: &'static str, room: &str) -> Result<Room> {
        let key = |purpose: &str| self.path("keys").join(format!("{purpose}.pem"));
        let (program, own) = match service {
            "intake" => (
                "haetae-intake",
                json!({
                    "registry": self.path("exchanges.toml"),
                    "rules": concat!(env!("CARGO_MANIFEST_DIR"), "/../services/intake/legal-basis.toml"),
                    "keys": { "authorise": key("authorise") },
                }),
            ),
            "tracking" => (
                "haetae-tracking",
                json!({
                    "registry": self.path("exchanges.toml"),
                    "keys": { "arrive": key("arrive"), "confirm": key("confirm") },
                    "chains": chains_of(around),
                }),
            ),
            _ => (
                "haetae-freeze",
                json!({ "registry": self.path("exchanges.toml"), "keys": { "freeze": key("freeze") } }),
            ),
        };
        let mut peers = json!({});
        for peer in ["intake", "tracking", "freeze"] {
            if peer != service {
                peers[peer] = json!({ "endpoints": self.endpoints(peer)?, "server_name": peer });
            }
        }
        for (exchange, _) in EXCHANGES {
            let connector = format!("connector-{exchange}");
            let endpoint = format!("https://127.0.0.1:{}", self.listener(&connector)?.calls);
            peers[&connector] = json!({ "endpoints": [endpoint], "server_name": connector });
        }
        let mut config = self.common(around, room, service, Some(service))?;
        config["peers"] = peers;
        config["service"] = own;
        self.room(room, program, config, service)
    }

    fn connector(&self, around: &Surroundings, exchange: &str) -> Result<Room> {
        let name = format!("connector-{exchange}");
        let mut config = self.common(around, &name, &name, Some(&format!("connector/{exchange}")))?;
        config["peers"] = json!({
            "intake": { "endpoints": self.endpoints("intake")?, "server_name": "intake" },
            "tracking": { "endpoints": self.endpoints("tracking")?, "server_name": "tracking" },
            "freeze": { "endpoints": self.endpoints("freeze")?, "server_name": "freeze" },
        });
        let certs = self.path("certs").join(format!("at-{exchange}"));
        config["service"] = json!({
            "exchange": exchange,
            "registry": self.path("exchanges.toml"),
            "certificate": { "cert": certs.join("tls.crt"), "key": certs.join("tls.key") },
        });
        self.room(&name, "haetae-connector", config, &name)
    }

    fn sandbox(&self, around: &Surroundings, exchange: &str, display_name: &str) -> Result<Room> {
        let name = format!("sandbox-{exchange}");
        let control = self.control(exchange)?;
        let mut config = self.common(around, &name, exchange, None)?;
        let keys = self.path("keys");
        config["service"] = json!({
            "exchange": exchange,
            "registry": self.path("exchanges.toml"),
            "keys": { "log": keys.join(format!("{exchange}.pem")) },
            "callers": [format!("spiffe://exchanges.test/clients/{exchange}")],
            "hotline": { "name": format!("{display_name} rehearsal desk"), "phone": "+82-2-0000-0000" },
            "control": {
                "listen": format!("127.0.0.1:{}", control.calls),
                "probe_listen": format!("127.0.0.1:{}", control.probes),
                "tls": self.tls(&format!("control-{exchange}")),
                "roles": roles(),
            },
            "chains": around.chains_of_an_exchange(&keys, exchange),
        });
        self.room(&name, "haetae-sandbox", config, &name)
    }

    /// What every process is told.
    fn common(&self, around: &Surroundings, room: &str, certificate: &str, log: Option<&str>) -> Result<Value> {
        let listener = self.listener(room)?;
        let mut config = json!({
            "server": {
                "replica": room,
                "listen": format!("127.0.0.1:{}", listener.calls),
                "probe_listen": format!("127.0.0.1:{}", listener.probes),
                "tls": self.tls(certificate),
                "roles": roles(),
                "drain": { "grace_ms": 50, "limit_ms": 3_000 },
            },
            "database": { "url": format!("{}{}", around.postgres, database(room)), "max_connections": 8 },
            "telemetry": { "format": "text", "level": "info" },
            "redis": {},
        });
        if let Some(log) = log {
            let key = self.path("keys").join(format!("log-{}.pem", log.replace('/', "-")));
            config["log"] = json!({ "origin": origin(log), "key": key });
        }
        if let Some(url) = &around.redis {
            config["redis"]["url"] = json!(url);
        }
        if let Some(endpoint) = &around.otlp {
            config["telemetry"]["otlp_endpoint"] = json!(endpoint);
            config["telemetry"]["metrics_every_ms"] = json!(1_000);
        }
        if room.starts_with("intake") {
            config["server"]["persons"] =
                json!({ "issuer": ISSUER, "audience": AUDIENCE, "jwks": self.path("jwks.json") });
            config["server"]["systems"] = json!({
                (format!("{TRUST_DOMAIN}/agency/knp-portal")): { "agency": "knp", "name": "Police investigation portal" },
                (format!("{TRUST_DOMAIN}/agency/fss-portal")): { "agency": "fss", "name": "Supervision portal" },
            });
        }
        Ok(config)
    }

    fn tls(&self, certificate: &str) -> Value {
        let folder = self.path("certs").join(certificate);
        json!({ "cert": folder.join("tls.crt"), "key": folder.join("tls.key"), "client_ca": folder.join("ca.crt") })
    }

    fn room(&self, name: &str, program: &'static str, config: Value, database_of: &str) -> Result<Room> {
        let folder = self.path("config");
        fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{name}.toml"));
        fs::write(&file, toml::to_string(&config)?)?;
        let listener = self.listener(name)?;
        Ok(Room { name: name.to_owned(), program, config: file, listener, database: database(database_of) })
    }
}

/// What tracking reads.
fn chains_of(around: &Surroundings) -> Value {
    let evm = json!({
        "id": CHAIN,
        "nodes": [{ "http": around.node.0, "ws": around.node.1 }],
        "block_time_ms": 1_000,
        // The story does not hang on it, and the node makes a whole block for each look.
        "look_at_waiting": false,
    });
    // Nobody mines but the story: no silence of the chain is worth an alert.
    let bitcoin = around.bitcoin.as_ref().map(|node| {
        json!({
            "id": BITCOIN,
            "nodes": [{ "http": node }],
            "final_after": 5,
            "block_time_ms": 600_000,
            "poll_ms": 100,
        })
    });
    std::iter::once(evm).chain(bitcoin).collect()
}

/// The exchange's own wallet.
pub fn hot_wallet(exchange: &str) -> Actor {
    Actor::named(&format!("hot wallet of {exchange}"))
}

/// Replicas share the database of their service. `freeze` alone is a word of SQL.
fn database(room: &str) -> String {
    format!("haetae_{}", room.trim_end_matches("-1").trim_end_matches("-2").replace('-', "_"))
}

fn origin(service: &str) -> String {
    format!("haetae.test/{service}")
}

fn roles() -> Value {
    json!({
        "intake": [format!("{TRUST_DOMAIN}/intake")],
        "tracking": [format!("{TRUST_DOMAIN}/tracking")],
        "freeze": [format!("{TRUST_DOMAIN}/freeze")],
        "connector": [format!("{TRUST_DOMAIN}/connector/*")],
        "agency": [format!("{TRUST_DOMAIN}/agency/*")],
        "auditor": [format!("{TRUST_DOMAIN}/auditor/*")],
        "operator": [format!("{TRUST_DOMAIN}/operator/*")],
    })
}
