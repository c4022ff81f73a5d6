//! A development issuer of persons' tokens (OpenID Connect, ES256).

use std::fmt;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use p256::SecretKey;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::pkcs8::DecodePrivateKey;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::keys::SigningKey;

/// An issuer with one ECDSA P-256 key.
pub struct Issuer {
    url: String,
    audience: String,
    key: SigningKey,
    key_id: String,
    public: Value,
    signer: EncodingKey,
}

/// Whom a token speaks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// The claim `sub`.
    pub subject: String,
    /// The claim `name`.
    pub name: String,
    /// The claim `agency`.
    pub agency: String,
    /// The claim `unit`.
    pub unit: String,
    /// The claim `roles`.
    pub roles: Vec<String>,
    /// The claim `on_duty`.
    pub on_duty: bool,
}

impl Issuer {
    /// An issuer with a new key. `url` is the claim `iss`, `audience` the claim `aud`.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(url: &str, audience: &str) -> Result<Self> {
        Self::with_key(url, audience, SigningKey::p256()?)
    }

    /// An issuer that goes on with a key it had before.
    ///
    /// # Errors
    /// When the key is not an ECDSA P-256 key.
    pub fn with_key(url: &str, audience: &str, key: SigningKey) -> Result<Self> {
        let secret = SecretKey::from_pkcs8_pem(&key.private_pem).context("not an ECDSA P-256 key")?;
        let point = secret.public_key().to_encoded_point(false);
        let coordinates = point.x().zip(point.y()).context("the public key is no point")?;
        let (x, y) = (URL_SAFE_NO_PAD.encode(coordinates.0), URL_SAFE_NO_PAD.encode(coordinates.1));
        // Derived from the key, so that it stays the same for the same key.
        let key_id = Uuid::new_v5(&Uuid::NAMESPACE_OID, point.as_bytes()).to_string();
        Ok(Self {
            url: url.to_owned(),
            audience: audience.to_owned(),
            public: json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": key_id, "x": x, "y": y}),
            signer: EncodingKey::from_ec_pem(key.private_pem.as_bytes())?,
            key_id,
            key,
        })
    }

    /// The claim `iss`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The claim `aud`.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// The key, to go on with later.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The public key as a JSON Web Key Set (RFC 7517).
    pub fn jwks_json(&self) -> String {
        json!({"keys": [self.public]}).to_string()
    }

    /// A token that says who the person is, from now on for `valid_for`.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn token(&self, person: &Person, valid_for: Duration) -> Result<String> {
        self.token_with(&self.claims(person, valid_for))
    }

    /// The claims of [`token`](Self::token), to be spoilt.
    pub fn claims(&self, person: &Person, valid_for: Duration) -> Value {
        let now = OffsetDateTime::now_utc();
        json!({
            "iss": self.url,
            "aud": self.audience,
            "iat": now.unix_timestamp(),
            "exp": (now + valid_for).unix_timestamp(),
            "jti": Uuid::new_v4(),
            "sub": person.subject,
            "name": person.name,
            "agency": person.agency,
            "unit": person.unit,
            "roles": person.roles,
            "on_duty": person.on_duty,
        })
    }

    /// A token with exactly these claims, signed with this issuer's key: for tokens that must be refused.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn token_with(&self, claims: &Value) -> Result<String> {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.key_id.clone());
        Ok(jsonwebtoken::encode(&header, claims, &self.signer)?)
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("url", &self.url).finish_non_exhaustive()
    }
}
