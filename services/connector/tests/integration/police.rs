//! The agency's side: what people approved, and the orders that follow from it.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use haetae_core::{
    Act, Amount, Asset, Authorisation, AuthorisationId, Budgets, CaseRef, ChainId, Confidentiality, Desired, Document,
    ExchangeId, FreezeScope, LegId, LegalGround, Moment, Officer, Order, OrderKind, RequestId, Subject, Target,
};
use haetae_seal::dsse::{Algorithm, SigningKey};
use haetae_wire::keys::{Keyring, Purpose};
use haetae_wire::signed::{sign_authorisation, sign_order};
use time::Duration;
use uuid::Uuid;

use crate::exchange::now;

pub(crate) fn upbit() -> ExchangeId {
    "upbit".parse().unwrap()
}

pub(crate) fn bithumb() -> ExchangeId {
    "bithumb".parse().unwrap()
}

/// The keys of the agency's services.
pub(crate) struct Police {
    authorise: SigningKey,
    freeze: SigningKey,
    confirm: SigningKey,
}

impl Police {
    pub(crate) fn new() -> Self {
        let key = || SigningKey::generate(Algorithm::Ed25519);
        Self { authorise: key(), freeze: key(), confirm: key() }
    }

    pub(crate) fn keys(&self) -> [(&'static str, Purpose, &SigningKey); 3] {
        [
            ("authorise", Purpose::Authorise, &self.authorise),
            ("freeze", Purpose::Freeze, &self.freeze),
            ("confirm", Purpose::Confirm, &self.confirm),
        ]
    }

    pub(crate) fn pin(&self, keyring: &mut Keyring) {
        for (_, purpose, key) in self.keys() {
            keyring.pin(purpose, key.public_key()).unwrap();
        }
    }

    /// The order's envelope, with its authorisation in it.
    pub(crate) fn sign(&self, case: &Case, order: &Order) -> Vec<u8> {
        let authorisation = sign_authorisation(&case.authorisation(order), &self.authorise);
        let key = if order.desired == Desired::ConfirmAddress { &self.confirm } else { &self.freeze };
        sign_order(order, &authorisation, &[], key)
    }
}

/// One account in one case: what is asked about it, frozen there and released.
pub(crate) struct Case {
    line: AuthorisationId,
    pub(crate) number: &'static str,
    target: Target,
    /// When its orders were signed.
    issued_at: Moment,
    freeze_until: Moment,
}

impl Case {
    pub(crate) fn new() -> Self {
        Self::numbered("2026-1")
    }

    pub(crate) fn numbered(number: &'static str) -> Self {
        Self {
            line: AuthorisationId(Uuid::new_v4()),
            number,
            target: Target::account(format!("eip155:1:0x{:040x}", rand::random::<u64>()).parse().unwrap()),
            issued_at: now(),
            freeze_until: now() + Duration::DAY,
        }
    }

    /// A case whose orders were signed so long ago that none may be taken in any more.
    pub(crate) fn of_yesterday() -> Self {
        Self { issued_at: now() - Duration::DAY, ..Self::new() }
    }

    pub(crate) fn reference(&self) -> CaseRef {
        CaseRef { agency: "knp".parse().unwrap(), unit: "cyber-1".parse().unwrap(), number: self.number.into() }
    }

    pub(crate) fn question(&self) -> Order {
        let leg = LegId::of(self.line, &upbit(), &self.target, None);
        Order { leg, asset: None, ..self.order(1, Desired::ConfirmAddress) }
    }

    pub(crate) fn freeze(&self, revision: u32) -> Order {
        let scope = FreezeScope::BalanceAndLaterCredits;
        self.order(revision, Desired::Frozen { cap: Amount::from(100_u64), until: self.freeze_until, scope })
    }

    pub(crate) fn release(&self, revision: u32) -> Order {
        self.order(revision, Desired::Released)
    }

    fn order(&self, revision: u32, desired: Desired) -> Order {
        Order {
            recipient: upbit(),
            leg: LegId::of(self.line, &upbit(), &self.target, Some(&ether())),
            revision: NonZeroU32::new(revision).unwrap(),
            target: self.target.clone(),
            asset: Some(ether()),
            desired,
            issued_at: self.issued_at,
            expires_at: self.issued_at + Duration::HOUR,
            arrivals: Vec::new(),
            hop: None,
        }
    }

    fn authorisation(&self, order: &Order) -> Authorisation {
        let cancels = order.desired == Desired::Released;
        Authorisation {
            id: if cancels { AuthorisationId(Uuid::new_v4()) } else { self.line },
            act: if cancels { Act::Cancel { legs: BTreeSet::new() } } else { Act::Grant },
            line: self.line,
            amendment: if cancels { 2 } else { 1 },
            exchange: order.recipient.clone(),
            request: RequestId(Uuid::new_v4()),
            case: self.reference(),
            ground: LegalGround {
                basis: "warrant".into(),
                citation: "Criminal Procedure Act, Art. 215".into(),
                document: Some(Document {
                    number: "W-1".into(),
                    issuer: "Seoul Central District Court".into(),
                    issued_at: self.issued_at - Duration::DAY,
                    valid_until: self.issued_at + Duration::WEEK,
                    sha256: [1; 32],
                }),
                ratify_by: None,
            },
            permitted: BTreeSet::from([OrderKind::ConfirmAddress, OrderKind::Freeze]),
            subject: Subject::Targets(BTreeSet::from([self.target.clone()])),
            caps: BTreeMap::from([(ether(), Amount::from(100_u64))]),
            valid_from: self.issued_at - Duration::HOUR,
            valid_until: self.issued_at + Duration::WEEK,
            freeze_until: Some(self.freeze_until),
            confidentiality: Confidentiality::Open,
            officer: Officer {
                name: "Kim".into(),
                title: "Inspector".into(),
                address: "Seoul".into(),
                email: "kim@police.example".into(),
                phone: "+82-2-0".into(),
            },
            decisions: Vec::new(),
            issued_at: self.issued_at,
            budgets: Budgets { max_questions: 10, max_legs_per_hour: 10 },
        }
    }
}

fn ether() -> Asset {
    Asset::evm_native(ChainId::evm(1))
}
