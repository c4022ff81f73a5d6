//! The profile: where intake is, who speaks, and what need not be typed each time.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    str::FromStr,
};

use haetae_core::ChainId;
use haetae_mesh::config::{Endpoint, PeerConfig, PeerTls};
use haetae_seal::checkpoint::LogVerifier;
use haetae_wire::registry::Registry;
use serde::{Deserialize, Deserializer, de::Error as _};
use tonic::metadata::{Ascii, MetadataValue};

use crate::{
    content::{Confidentiality, Document, Officer},
    failure::Failure,
    show::AssetName,
};

/// An example with every setting explained.
pub(crate) const EXAMPLE: &str = include_str!("profile/example.toml");

/// The file's content. Paths in it are relative to its folder.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    #[serde(skip)]
    folder: PathBuf,
    intake: Option<PeerConfig>,
    token_file: Option<PathBuf>,
    #[serde(default)]
    token_files: BTreeMap<String, PathBuf>,
    default_person: Option<String>,
    /// Why things are read, unless the command says otherwise.
    pub(crate) purpose: Option<String>,
    /// The chain of addresses that name none.
    #[serde(default, deserialize_with = "parsed_optional")]
    pub(crate) chain: Option<ChainId>,
    registry: Option<PathBuf>,
    /// The officer whom exchanges may contact.
    pub(crate) officer: Option<Officer>,
    /// Case number and legal basis of halts and resumes.
    pub(crate) brake: Option<Brake>,
    default_case: Option<String>,
    #[serde(default)]
    case: Vec<Case>,
    /// The assets that have a name.
    #[serde(default)]
    pub(crate) asset: Vec<AssetName>,
    #[serde(default)]
    log: Vec<LogPeer>,
}

/// `[brake]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Brake {
    pub(crate) case_number: String,
    pub(crate) legal_basis: String,
}

/// `[[case]]`: what every request of a case has in common.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) number: String,
    pub(crate) legal_basis: Option<String>,
    pub(crate) summary: Option<String>,
    pub(crate) document: Option<Document>,
    pub(crate) confidentiality: Option<Confidentiality>,
}

impl From<&Brake> for Case {
    fn from(brake: &Brake) -> Self {
        let legal_basis = Some(brake.legal_basis.clone());
        Self { number: brake.case_number.clone(), legal_basis, ..Self::default() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogPeer {
    service: String,
    endpoints: Vec<Endpoint>,
    server_name: Option<String>,
    verifier: Option<String>,
    tls: Option<PeerTls>,
}

/// A log to be audited.
#[derive(Debug)]
pub(crate) struct AuditedLog {
    /// The service that writes it, such as `freeze` or `connector/upbit`.
    pub(crate) service: String,
    /// Where its replicas are.
    pub(crate) peer: PeerConfig,
    /// The key that its checkpoints must be signed with.
    pub(crate) verifier: LogVerifier,
}

impl Profile {
    /// Reads the file: the one given, else the one in the person's home.
    pub(crate) fn load(given: Option<&Path>) -> Result<Self, Failure> {
        let path = match given {
            Some(path) => path.to_owned(),
            None => home_profile()?,
        };
        let text = fs::read_to_string(&path).map_err(|error| {
            Failure::usage(format!("cannot read the profile {}: {error}", path.display())).hint(
                "Name one with --profile or HAETAE_PROFILE; `haetae profile example` prints one with every setting explained.",
            )
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, folder)
            .map_err(|error| Failure::usage(format!("the profile {} is wrong: {error}", path.display())))
    }

    fn parse(text: &str, folder: &Path) -> Result<Self, toml::de::Error> {
        let mut profile: Self = toml::from_str(text)?;
        profile.folder = folder.to_owned();
        let tls_files = profile.intake.iter_mut().filter_map(|peer| peer.tls.as_mut());
        for tls in tls_files.chain(profile.log.iter_mut().filter_map(|log| log.tls.as_mut())) {
            for path in [&mut tls.cert, &mut tls.key, &mut tls.ca] {
                *path = folder.join(&*path);
            }
        }
        Ok(profile)
    }

    /// How intake is reached.
    pub(crate) fn intake(&self) -> Result<PeerConfig, Failure> {
        self.intake
            .clone()
            .ok_or_else(|| Failure::usage("the profile does not say where intake is").hint("Add a section [intake]."))
    }

    /// The case of this number, or the default case; an empty one where the profile knows nothing of it.
    pub(crate) fn case(&self, number: Option<&str>) -> Result<Case, Failure> {
        let Some(number) = number.or(self.default_case.as_deref()) else {
            return Err(Failure::usage("which case?").hint("Give --case, or set default_case in the profile."));
        };
        let known = self.case.iter().find(|case| case.number == number).cloned();
        Ok(known.unwrap_or_else(|| Case { number: number.to_owned(), ..Case::default() }))
    }

    /// The person's token: of the person named, else from the environment, else of the default person.
    pub(crate) fn token(
        &self,
        person: Option<&str>,
        environment: Option<String>,
    ) -> Result<MetadataValue<Ascii>, Failure> {
        let (token, from) = match (person, environment) {
            (None, Some(token)) => (token, "HAETAE_TOKEN".to_owned()),
            (person, _) => {
                let path = self.folder.join(self.token_path(person)?);
                let shown = path.display().to_string();
                let token = fs::read_to_string(&path)
                    .map_err(|error| Failure::usage(format!("cannot read the person's token from {shown}: {error}")))?;
                (token, shown)
            }
        };
        let mut bearer = MetadataValue::try_from(format!("Bearer {}", token.trim()))
            .ok()
            .filter(|_| !token.trim().is_empty())
            .ok_or_else(|| Failure::usage(format!("what {from} holds is no token")))?;
        bearer.set_sensitive(true);
        Ok(bearer)
    }

    fn token_path(&self, person: Option<&str>) -> Result<&Path, Failure> {
        let named = |person: &str| {
            self.token_files.get(person).map(PathBuf::as_path).ok_or_else(|| {
                let known: Vec<&str> = self.token_files.keys().map(String::as_str).collect();
                Failure::usage(format!("the profile has no token for `{person}`")).hint(if known.is_empty() {
                    "Add it under [token_files].".to_owned()
                } else {
                    format!("It has tokens for {}.", known.join(", "))
                })
            })
        };
        match (person, &self.token_file, &self.default_person) {
            (Some(person), _, _) => named(person),
            (None, _, Some(person)) => named(person),
            (None, Some(file), None) => Ok(file),
            (None, None, None) => Err(Failure::usage("whose token?").hint(
                "Give --as NAME, set HAETAE_TOKEN, or set token_file or default_person and token_files in the profile.",
            )),
        }
    }

    /// The registry, where the profile names one.
    pub(crate) fn registry(&self) -> Result<Option<Registry>, Failure> {
        let load = |path: &PathBuf| Registry::load(&self.folder.join(path));
        self.registry.as_ref().map(load).transpose().map_err(|error| Failure::usage(error.to_string()))
    }

    /// The logs to be audited: these, or all that the profile names.
    pub(crate) fn logs(&self, services: &[String]) -> Result<Vec<AuditedLog>, Failure> {
        if let Some(unknown) = services.iter().find(|service| !self.log.iter().any(|log| log.service == **service)) {
            return Err(Failure::usage(format!("the profile has no log of `{unknown}`")).hint("Add it as [[log]]."));
        }
        if self.log.is_empty() {
            return Err(Failure::usage("the profile names no log").hint("Add each as [[log]]."));
        }
        let registry = self.registry()?;
        let wanted = self.log.iter().filter(|log| services.is_empty() || services.contains(&log.service));
        wanted.map(|log| self.audited(log, registry.as_ref())).collect()
    }

    fn audited(&self, log: &LogPeer, registry: Option<&Registry>) -> Result<AuditedLog, Failure> {
        let service = &log.service;
        let verifier = match &log.verifier {
            Some(text) => text.parse().map_err(|error| {
                Failure::usage(format!("the verifier key of {service}'s log in the profile is wrong: {error}"))
            })?,
            None => registry.and_then(|registry| registry.log_verifier(service)).cloned().ok_or_else(|| {
                Failure::usage(format!("no key is pinned for the log of {service}")).hint(
                    "Set verifier in its [[log]], or name a registry that pins it. Never take it from the log itself.",
                )
            })?,
        };
        let own = log.tls.as_ref().or_else(|| self.intake.as_ref().and_then(|intake| intake.tls.as_ref()));
        let peer = PeerConfig {
            endpoints: log.endpoints.clone(),
            server_name: log.server_name.clone(),
            tls: own.cloned(),
            deadline_ms: AUDIT_DEADLINE_MS,
            connect_timeout_ms: CONNECT_TIMEOUT_MS,
        };
        Ok(AuditedLog { service: service.clone(), peer, verifier })
    }
}

/// A page of a thousand leaves, from a database that others use too.
const AUDIT_DEADLINE_MS: u64 = 10_000;
const CONNECT_TIMEOUT_MS: u64 = 2_000;

fn home_profile() -> Result<PathBuf, Failure> {
    std::env::home_dir()
        .map(|home| home.join(".config/haetae/profile.toml"))
        .ok_or_else(|| Failure::usage("there is no home folder to look for a profile in").hint("Give --profile."))
}

/// Reads a text with its type's own parser, for serde.
pub(crate) fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: ToString>>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|error: T::Err| D::Error::custom(error.to_string()))
}

fn parsed_optional<'de, D: Deserializer<'de>, T: FromStr<Err: ToString>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    parsed(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(text: &str) -> Profile {
        Profile::parse(text, Path::new("/etc/haetae")).unwrap()
    }

    fn said(result: Result<impl Sized, Failure>) -> String {
        result.err().unwrap().for_people(&crate::show::Look::default())
    }

    #[test]
    fn the_example_is_a_profile() {
        let profile = profile(EXAMPLE);
        assert_eq!(profile.intake().unwrap().tls.unwrap().key, Path::new("/etc/haetae/tls/tls.key"));
        assert_eq!(profile.case(None).unwrap().legal_basis.as_deref(), Some("warrant"));
    }

    #[test]
    fn an_unknown_setting_is_refused_with_its_name() {
        let error = Profile::parse("porpose = \"x\"", Path::new("")).unwrap_err();
        assert!(error.to_string().contains("porpose"), "{error}");
    }

    #[test]
    fn who_speaks_is_the_person_named_then_the_environment_then_the_default() {
        let folder = tempfile::tempdir().unwrap();
        for person in ["ji-woo", "min-jun"] {
            fs::write(folder.path().join(person), format!("of-{person}\n")).unwrap();
        }
        let text = "default_person = \"ji-woo\"\n[token_files]\nji-woo = \"ji-woo\"\nmin-jun = \"min-jun\"\n";
        let profile = Profile::parse(text, folder.path()).unwrap();
        let env = || Some("of-environment".to_owned());
        assert_eq!(profile.token(Some("min-jun"), env()).unwrap(), "Bearer of-min-jun");
        assert_eq!(profile.token(None, env()).unwrap(), "Bearer of-environment");
        assert_eq!(profile.token(None, None).unwrap(), "Bearer of-ji-woo");
        assert!(said(profile.token(Some("seo-yeon"), None)).contains("It has tokens for ji-woo, min-jun."));
    }

    #[test]
    fn a_token_never_shows_in_debug_output_or_in_errors() {
        let token = profile("").token(None, Some("secret".into())).unwrap();
        assert!(!format!("{token:?}").contains("secret"));
        assert!(!said(profile("").token(None, Some("sec\nret".into()))).contains("ret\n"));
    }

    #[test]
    fn a_log_without_a_pinned_key_is_not_audited() {
        let text = "[[log]]\nservice = \"freeze\"\nendpoints = [\"https://freeze:8443\"]\n";
        assert!(said(profile(text).logs(&[])).contains("no key is pinned for the log of freeze"));
        assert!(said(profile(text).logs(&["intake".into()])).contains("the profile has no log of `intake`"));
    }
}
