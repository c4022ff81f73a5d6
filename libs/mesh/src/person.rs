//! The person behind a call: a token of the agency's identity provider, bound to the system it comes through.

use std::{fmt, sync::Arc};

use anyhow::Context;
use http::{HeaderMap, header::AUTHORIZATION};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    errors::ErrorKind,
    jwk::{AlgorithmParameters, JwkSet},
};
use serde::Deserialize;
use time::OffsetDateTime;
use tonic::Code;

use crate::{
    Identity,
    config::{PersonsConfig, ServerConfig, SystemConfig},
    refusal::{Refusal, reason},
    reload::Reloaded,
};

/// Someone an agency vouches for. In the extensions of requests to services added `with_person`.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// The token's `sub`: the agency's own, pseudonymous id.
    pub id: String,
    /// What people call them. Personal: never logged, not shown by `Debug`.
    pub name: String,
    /// The agency, equal to that of the system the call comes through.
    pub agency: String,
    /// The unit within the agency.
    pub unit: String,
    /// What the agency lets them do, such as `investigator` or `approver`.
    pub roles: Vec<String>,
    /// Whether they are on duty, which emergency approvals ask for.
    pub on_duty: bool,
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Person")
            .field("agency", &self.agency)
            .field("unit", &self.unit)
            .field("roles", &self.roles)
            .field("on_duty", &self.on_duty)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    iss: String,
    aud: Audience,
    exp: u64,
    #[serde(default)]
    nbf: u64,
    #[serde(default)]
    name: String,
    agency: String,
    #[serde(default)]
    unit: String,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    on_duty: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn names(&self, wanted: &str) -> bool {
        match self {
            Self::One(one) => one == wanted,
            Self::Many(many) => many.iter().any(|a| a == wanted),
        }
    }
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenFault {
    Missing,
    Expired,
    /// Another issuer, audience, key or agency.
    Foreign,
    /// Not readable, not yet valid, or made with an algorithm we do not take.
    Invalid,
}

impl From<TokenFault> for Refusal {
    fn from(fault: TokenFault) -> Self {
        let (reason, message) = match fault {
            TokenFault::Missing => (reason::TOKEN_MISSING, "a person's token is needed: `authorization: Bearer …`"),
            TokenFault::Expired => (reason::TOKEN_EXPIRED, "the person's token has expired"),
            TokenFault::Foreign => (
                reason::TOKEN_FOREIGN,
                "the person's token is not from this system's issuer, for this service and this system's agency",
            ),
            TokenFault::Invalid => (reason::TOKEN_INVALID, "the person's token cannot be read or is not valid yet"),
        };
        Self::new(Code::Unauthenticated, reason, message)
    }
}

/// The issuer's keys.
struct Keys(Vec<Key>);

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Keys {
    /// Keys of other kinds in the set are passed over; a set with no usable key is refused.
    fn read(json: &[u8]) -> anyhow::Result<Self> {
        let set: JwkSet = serde_json::from_slice(json).context("not a JSON Web Key Set")?;
        let keys: Vec<Key> = set
            .keys
            .iter()
            .filter_map(|jwk| {
                use jsonwebtoken::jwk::EllipticCurve::{Ed25519, P256};
                let algorithm = match &jwk.algorithm {
                    AlgorithmParameters::EllipticCurve(p) if p.curve == P256 => Algorithm::ES256,
                    AlgorithmParameters::RSA(_) => Algorithm::RS256,
                    AlgorithmParameters::OctetKeyPair(p) if p.curve == Ed25519 => Algorithm::EdDSA,
                    _ => return None,
                };
                Some(Key { id: jwk.common.key_id.clone(), algorithm, key: DecodingKey::from_jwk(jwk).ok()? })
            })
            .collect();
        anyhow::ensure!(!keys.is_empty(), "no ES256, RS256 or EdDSA key in the set");
        Ok(Self(keys))
    }

    /// The key a token names; a token that names none is taken to mean the only one there is.
    fn find(&self, id: Option<&str>) -> Option<&Key> {
        match (id, self.0.as_slice()) {
            (Some(id), keys) => keys.iter().find(|k| k.id.as_deref() == Some(id)),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

/// Checks persons' tokens.
pub(crate) struct Persons {
    config: PersonsConfig,
    systems: std::collections::BTreeMap<String, SystemConfig>,
    keys: Reloaded<Keys>,
}

impl Persons {
    pub(crate) fn open(config: &PersonsConfig, server: &ServerConfig) -> anyhow::Result<Arc<Self>> {
        let keys = Reloaded::open("issuer's keys", vec![config.jwks.clone()], |contents| {
            Keys::read(contents.first().map_or(&[], Vec::as_slice))
        })?;
        Ok(Arc::new(Self { config: config.clone(), systems: server.systems.clone(), keys }))
    }

    /// The agency of a system.
    pub(crate) fn agency(&self, system: &Identity) -> Option<&str> {
        self.systems.get(&system.spiffe).map(|system| system.agency.as_str())
    }

    /// Who calls through this system, at this time.
    pub(crate) fn examine(
        &self,
        headers: &HeaderMap,
        system: &Identity,
        now: OffsetDateTime,
    ) -> Result<Person, TokenFault> {
        let token = bearer(headers)?;
        let claims = self.open_token(token)?;
        judge(claims, &self.config, self.agency(system), now)
    }

    /// The signature only: times and names are ours to judge.
    fn open_token(&self, token: &str) -> Result<Claims, TokenFault> {
        let header = decode_header(token).map_err(|_| TokenFault::Invalid)?;
        let keys = self.keys.current();
        let key = keys.find(header.kid.as_deref()).ok_or(TokenFault::Foreign)?;
        // The algorithm is the key's, never the token's choice.
        let mut validation = Validation::new(key.algorithm);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        decode::<Claims>(token, &key.key, &validation).map(|data| data.claims).map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => TokenFault::Foreign,
            _ => TokenFault::Invalid,
        })
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, TokenFault> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(TokenFault::Missing)?;
    if values.next().is_some() {
        return Err(TokenFault::Invalid);
    }
    let text = value.to_str().map_err(|_| TokenFault::Invalid)?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() => Ok(token),
        _ => Err(TokenFault::Invalid),
    }
}

/// `agency` is that of the system the call came through; none where the system is not configured.
fn judge(
    claims: Claims,
    config: &PersonsConfig,
    agency: Option<&str>,
    now: OffsetDateTime,
) -> Result<Person, TokenFault> {
    if claims.iss != config.issuer || !claims.aud.names(&config.audience) {
        return Err(TokenFault::Foreign);
    }
    let now = u64::try_from(now.unix_timestamp()).unwrap_or(0);
    let leeway = u64::from(config.leeway_seconds);
    if claims.exp.saturating_add(leeway) <= now {
        return Err(TokenFault::Expired);
    }
    if claims.nbf > now.saturating_add(leeway) || claims.sub.is_empty() {
        return Err(TokenFault::Invalid);
    }
    if agency != Some(claims.agency.as_str()) {
        return Err(TokenFault::Foreign);
    }
    Ok(Person {
        id: claims.sub,
        name: claims.name,
        agency: claims.agency,
        unit: claims.unit,
        roles: claims.roles,
        on_duty: claims.on_duty,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> PersonsConfig {
        PersonsConfig {
            issuer: "https://id.police.example".into(),
            audience: "haetae".into(),
            jwks: "/dev/null".into(),
            leeway_seconds: 30,
        }
    }

    fn claims() -> Claims {
        Claims {
            sub: "p-1".into(),
            iss: "https://id.police.example".into(),
            aud: Audience::Many(vec!["other".into(), "haetae".into()]),
            exp: 1_000,
            nbf: 900,
            name: "Hong Gildong".into(),
            agency: "NPA".into(),
            unit: "cyber-1".into(),
            roles: vec!["investigator".into()],
            on_duty: true,
        }
    }

    fn judged(claims: Claims, agency: Option<&str>, now: i64) -> Result<Person, TokenFault> {
        let now = OffsetDateTime::from_unix_timestamp(now).unwrap();
        judge(claims, &config(), agency, now)
    }

    #[test]
    fn a_token_holds_between_its_times_give_or_take_the_leeway() {
        assert!(judged(claims(), Some("NPA"), 950).is_ok());
        assert!(judged(claims(), Some("NPA"), 1_029).is_ok());
        assert_eq!(judged(claims(), Some("NPA"), 1_030), Err(TokenFault::Expired));
        assert!(judged(claims(), Some("NPA"), 870).is_ok());
        assert_eq!(judged(claims(), Some("NPA"), 869), Err(TokenFault::Invalid));
    }

    #[test]
    fn a_token_of_another_agency_is_foreign_to_this_system() {
        assert_eq!(judged(claims(), Some("FSS"), 950), Err(TokenFault::Foreign));
        assert_eq!(judged(claims(), None, 950), Err(TokenFault::Foreign));
    }

    #[test]
    fn a_token_of_another_issuer_or_audience_is_foreign() {
        let other = Claims { iss: "https://id.elsewhere".into(), ..claims() };
        assert_eq!(judged(other, Some("NPA"), 950), Err(TokenFault::Foreign));
        let other = Claims { aud: Audience::One("payroll".into()), ..claims() };
        assert_eq!(judged(other, Some("NPA"), 950), Err(TokenFault::Foreign));
    }

    #[test]
    fn names_are_not_shown() {
        let person = judged(claims(), Some("NPA"), 950).unwrap();
        assert!(!format!("{person:?}").contains("Hong"));
    }

    #[test]
    fn a_header_that_is_no_bearer_token_is_invalid_not_missing() {
        let mut headers = HeaderMap::new();
        assert_eq!(bearer(&headers), Err(TokenFault::Missing));
        headers.insert(AUTHORIZATION, "Basic eA==".parse().unwrap());
        assert_eq!(bearer(&headers), Err(TokenFault::Invalid));
        headers.insert(AUTHORIZATION, "bearer abc".parse().unwrap());
        assert_eq!(bearer(&headers), Ok("abc"));
    }
}
