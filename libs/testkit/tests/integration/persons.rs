//! Persons' tokens, seen as a service sees them.

use anyhow::{Context, Result};
use haetae_testkit::oidc::{Issuer, Person};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use time::Duration;

fn verified(token: &str, jwks: &str) -> Result<Value> {
    let keys: JwkSet = serde_json::from_str(jwks)?;
    let key_id = jsonwebtoken::decode_header(token)?.kid.context("names no key")?;
    let key = DecodingKey::from_jwk(keys.find(&key_id).context("unknown key")?)?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&["https://id.test"]);
    validation.set_audience(&["haetae"]);
    Ok(jsonwebtoken::decode::<Value>(token, &key, &validation)?.claims)
}

fn investigator() -> Person {
    Person {
        subject: "kim".into(),
        name: "Kim".into(),
        agency: "KNPA".into(),
        unit: "cyber-1".into(),
        roles: vec!["requester".into()],
        on_duty: true,
    }
}

#[test]
fn a_token_verifies_against_the_published_keys() -> Result<()> {
    let issuer = Issuer::new("https://id.test", "haetae")?;
    let claims = verified(&issuer.token(&investigator(), Duration::MINUTE)?, &issuer.jwks_json())?;
    assert_eq!(claims["sub"], "kim");
    assert_eq!(claims["roles"], json!(["requester"]));
    assert_eq!(claims["on_duty"], true);
    assert!(claims["jti"].is_string());
    Ok(())
}

#[test]
fn expired_and_misdirected_and_foreign_tokens_are_refused() -> Result<()> {
    let issuer = Issuer::new("https://id.test", "haetae")?;
    let jwks = issuer.jwks_json();
    let expired = issuer.token(&investigator(), Duration::minutes(-5))?;
    assert!(verified(&expired, &jwks).is_err());

    let mut claims = issuer.claims(&investigator(), Duration::MINUTE);
    claims["aud"] = "somebody-else".into();
    assert!(verified(&issuer.token_with(&claims)?, &jwks).is_err());

    let foreign = Issuer::new("https://id.test", "haetae")?;
    assert!(verified(&foreign.token(&investigator(), Duration::MINUTE)?, &jwks).is_err());
    Ok(())
}

#[test]
fn an_issuer_goes_on_with_its_key() -> Result<()> {
    let before = Issuer::new("https://id.test", "haetae")?;
    let after = Issuer::with_key(before.url(), before.audience(), before.key().clone())?;
    verified(&before.token(&investigator(), Duration::MINUTE)?, &after.jwks_json())?;
    Ok(())
}
