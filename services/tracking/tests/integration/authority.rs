//! What people approved, and whose keys count.

use std::collections::{BTreeMap, BTreeSet};

use haetae_core::{
    Act, Authorisation, AuthorisationId, Budgets, CaseRef, Confidentiality, DecisionRole, ExchangeId, Moment, Officer,
    OrderKind, RequestId, Subject,
};
use haetae_seal::dsse::SigningKey;
use uuid::Uuid;

pub(crate) fn case() -> CaseRef {
    CaseRef { agency: "knp".parse().unwrap(), unit: "cyber".parse().unwrap(), number: "2026-cyber-00412".to_owned() }
}

/// What people approved, towards one exchange: that it is asked.
pub(crate) fn authorisation(request: RequestId, exchange: &ExchangeId, subject: Subject, now: Moment) -> Authorisation {
    let id = AuthorisationId(Uuid::new_v4());
    let decision = |role, person: &str| haetae_core::Decision { role, person: person.parse().unwrap(), at: now };
    Authorisation {
        id,
        act: Act::Grant,
        line: id,
        amendment: 1,
        exchange: exchange.clone(),
        request,
        case: case(),
        ground: haetae_core::LegalGround {
            basis: "warrant".to_owned(),
            citation: "Criminal Procedure Act, art. 215".to_owned(),
            document: Some(haetae_core::Document {
                number: "2026-1".to_owned(),
                issuer: "Seoul Central District Court".to_owned(),
                issued_at: now,
                valid_until: now + time::Duration::days(7),
                sha256: [7; 32],
            }),
            ratify_by: None,
        },
        permitted: BTreeSet::from([OrderKind::ConfirmAddress]),
        subject,
        caps: BTreeMap::new(),
        valid_from: now - time::Duration::MINUTE,
        valid_until: now + time::Duration::days(7),
        freeze_until: None,
        confidentiality: Confidentiality::Deferred {
            ground: "flight".to_owned(),
            notice_due: now + time::Duration::DAY,
        },
        officer: Officer {
            name: "Hong Gildong".to_owned(),
            title: "Inspector".to_owned(),
            address: "Seoul".to_owned(),
            email: "officer@police.example".to_owned(),
            phone: "02-000-0000".to_owned(),
        },
        decisions: vec![decision(DecisionRole::Requested, "p-1"), decision(DecisionRole::Approved, "p-2")],
        issued_at: now,
        budgets: Budgets { max_questions: 100, max_legs_per_hour: 0 },
    }
}

/// The registry of exchanges and keys.
pub(crate) fn registry<'a>(
    authorise: &SigningKey,
    arrive: &SigningKey,
    confirm: &SigningKey,
    exchanges: impl IntoIterator<Item = (&'a ExchangeId, &'a SigningKey)>,
) -> String {
    let pem = |key: &SigningKey| format!("'''\n{}'''", key.public_key().to_spki_pem());
    let mut text = "[agency]\n".to_owned();
    for (purpose, key) in [("authorise", authorise), ("arrive", arrive), ("confirm", confirm)] {
        text += &format!("[[agency.key]]\npurpose = \"{purpose}\"\npublic_key = {}\n", pem(key));
    }
    for (exchange, key) in exchanges {
        text += &format!(
            "[[exchange]]\nid = \"{exchange}\"\ndisplay_name = \"{exchange}\"\n\
             endpoints = [\"https://{exchange}.example\"]\nserver_name = \"{exchange}.example\"\nca = \"ca.pem\"\n\
             confirm_within = \"500ms\"\nfreeze_within = \"2s\"\nchains = [\"eip155:31337\"]\n\
             [[exchange.key]]\npublic_key = {}\n",
            pem(key)
        );
    }
    text
}
