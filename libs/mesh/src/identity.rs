//! Who is on the other end of a connection: the SPIFFE id of its certificate and what it stands for here.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use x509_parser::{extensions::GeneralName, prelude::FromDer};

/// What a caller may be inside the mesh. Contracts name these in their `callers` option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Role {
    /// An agency's system.
    Agency,
    /// The intake service.
    Intake,
    /// The tracking service.
    Tracking,
    /// The freeze service.
    Freeze,
    /// The connector of one exchange.
    Connector,
    /// A body that checks logs.
    Auditor,
    /// Someone who runs the mesh.
    Operator,
}

impl Role {
    const ALL: [Self; 7] =
        [Self::Agency, Self::Intake, Self::Tracking, Self::Freeze, Self::Connector, Self::Auditor, Self::Operator];

    /// The name used in contracts and configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Agency => "agency",
            Self::Intake => "intake",
            Self::Tracking => "tracking",
            Self::Freeze => "freeze",
            Self::Connector => "connector",
            Self::Auditor => "auditor",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|r| r.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            format!("`{name}` is no role; the roles are {known}")
        })
    }
}

impl TryFrom<String> for Role {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl From<Role> for &'static str {
    fn from(role: Role) -> Self {
        role.name()
    }
}

/// A caller whose certificate was verified, in the extensions of every request that reaches a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The SPIFFE id in the certificate, such as `spiffe://police.example/connector/upbit`.
    pub spiffe: String,
    /// What it may be here; none for callers of public services that configuration maps to no role.
    pub role: Option<Role>,
    /// The exchange a connector speaks for: the last segment of its id.
    pub exchange: Option<String>,
    /// The agency system that calls: the last segment of its id.
    pub system: Option<String>,
}

/// SPIFFE ids: one exactly, or with a trailing `/*` every id that has exactly one more segment there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdPattern {
    /// The whole id, or what stands before the `/*`, with the slash.
    text: String,
    one_more_segment: bool,
}

impl IdPattern {
    fn matches(&self, id: &str) -> bool {
        if !self.one_more_segment {
            return self.text == id;
        }
        id.strip_prefix(&self.text).is_some_and(|segment| !segment.is_empty() && !segment.contains('/'))
    }

    /// Whether some id could match both.
    fn overlaps(&self, other: &Self) -> bool {
        match (self.one_more_segment, other.one_more_segment) {
            (_, false) => self.matches(&other.text),
            (false, true) => other.matches(&self.text),
            (true, true) => self.text == other.text,
        }
    }
}

impl fmt::Display for IdPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.one_more_segment { "*" } else { "" };
        write!(f, "{}{star}", self.text)
    }
}

impl FromStr for IdPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (text, one_more_segment) = match text.strip_suffix("/*") {
            Some(prefix) => (format!("{prefix}/"), true),
            None => (text.to_owned(), false),
        };
        let path = text.strip_prefix("spiffe://").unwrap_or_default();
        if path.is_empty() || path.starts_with('/') || text.contains('*') {
            return Err(format!(
                "`{text}` is no SPIFFE id; expected spiffe://domain/path, with `/*` at the very end at most"
            ));
        }
        Ok(Self { text, one_more_segment })
    }
}

impl TryFrom<String> for IdPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<IdPattern> for String {
    fn from(pattern: IdPattern) -> Self {
        pattern.to_string()
    }
}

/// Which ids have which role.
pub type RoleMap = BTreeMap<Role, Vec<IdPattern>>;

/// Pairs of patterns of different roles that one id could match; configuration with such a pair is refused.
pub(crate) fn ambiguities(roles: &RoleMap) -> Vec<String> {
    let all: Vec<(Role, &IdPattern)> =
        roles.iter().flat_map(|(role, patterns)| patterns.iter().map(move |p| (*role, p))).collect();
    let mut found = Vec::new();
    for (i, (role, pattern)) in all.iter().enumerate() {
        for (other_role, other) in &all[i + 1..] {
            if role != other_role && pattern.overlaps(other) {
                found.push(format!("{role} `{pattern}` and {other_role} `{other}` overlap"));
            }
        }
    }
    found
}

/// What a verified SPIFFE id stands for under a server's role map.
pub(crate) fn identify(spiffe: &str, roles: &RoleMap) -> Identity {
    let role = roles.iter().find(|(_, patterns)| patterns.iter().any(|p| p.matches(spiffe))).map(|(role, _)| *role);
    let last = || spiffe.rsplit('/').next().map(str::to_owned);
    Identity {
        spiffe: spiffe.to_owned(),
        role,
        exchange: (role == Some(Role::Connector)).then(last).flatten(),
        system: (role == Some(Role::Agency)).then(last).flatten(),
    }
}

/// Whether an id is one of those listed; an empty list allows nobody.
pub(crate) fn listed(spiffe: &str, patterns: &[IdPattern]) -> bool {
    patterns.iter().any(|p| p.matches(spiffe))
}

/// The SPIFFE id of a certificate: its only URI name with the scheme `spiffe` (SPIFFE X.509-SVID, section 2).
/// None where there is none or more than one, which the standard forbids.
pub(crate) fn spiffe_of(certificate: &[u8]) -> Option<Arc<str>> {
    let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let mut ids = names.value.general_names.iter().filter_map(|n| match n {
        GeneralName::URI(uri) if uri.starts_with("spiffe://") => Some(*uri),
        _ => None,
    });
    match (ids.next(), ids.next()) {
        (Some(id), None) => Some(id.into()),
        _ => None,
    }
}

/// When a certificate ends, in seconds since 1970.
pub(crate) fn ends_at(certificate: &[u8]) -> Option<i64> {
    let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> IdPattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_star_stands_for_exactly_one_segment() {
        let connectors = pattern("spiffe://police.example/connector/*");
        assert!(connectors.matches("spiffe://police.example/connector/upbit"));
        assert!(!connectors.matches("spiffe://police.example/connector/"));
        assert!(!connectors.matches("spiffe://police.example/connector/upbit/more"));
        assert!(!connectors.matches("spiffe://police.example.evil/connector/upbit"));
    }

    #[test]
    fn a_connector_carries_its_exchange_and_an_agency_its_system() {
        let roles = RoleMap::from([
            (Role::Connector, vec![pattern("spiffe://police.example/connector/*")]),
            (Role::Agency, vec![pattern("spiffe://police.example/agency/kics")]),
        ]);
        let upbit = identify("spiffe://police.example/connector/upbit", &roles);
        assert_eq!(upbit.role, Some(Role::Connector));
        assert_eq!(upbit.exchange.as_deref(), Some("upbit"));
        let kics = identify("spiffe://police.example/agency/kics", &roles);
        assert_eq!(kics.system.as_deref(), Some("kics"));
        assert_eq!(identify("spiffe://police.example/agency/other", &roles).role, None);
    }

    #[test]
    fn one_id_cannot_have_two_roles() {
        let roles = RoleMap::from([
            (Role::Auditor, vec![pattern("spiffe://police.example/a/b")]),
            (Role::Operator, vec![pattern("spiffe://police.example/a/*")]),
        ]);
        assert_eq!(ambiguities(&roles).len(), 1);
    }

    #[test]
    fn stars_elsewhere_are_refused() {
        assert!(IdPattern::from_str("spiffe://*/connector/upbit").is_err());
        assert!(IdPattern::from_str("spiffe:///connector").is_err());
        assert!(IdPattern::from_str("https://police.example/x").is_err());
    }
}
