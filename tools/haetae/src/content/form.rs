//! The written form of a request, as serde reads it.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use haetae_core::{Moment, Reason, RequestKind, TaintRule, Violations};
use haetae_wire::{convert::timestamp, exchange::v1 as exchange, intake::v1};
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};
use time::format_description::well_known::Rfc3339;

/// A request as it is written.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) case_number: Option<String>,
    pub(crate) legal_basis: Option<String>,
    pub(crate) document: Option<Document>,
    pub(crate) officer: Option<Officer>,
    pub(crate) confidentiality: Option<Confidentiality>,
    pub(crate) summary: Option<String>,
    pub(crate) exchanges: Vec<String>,
    pub(crate) wanted: Wanted,
}

/// What is wanted: the contract's `kind`.
#[derive(Debug)]
pub(crate) enum Wanted {
    ConfirmAddress(ConfirmForm),
    Watch(WatchForm),
    StandingFreeze(StandingFreezeForm),
    Freeze(FreezeForm),
    Release(ReleaseForm),
    Halt(ScopeForm),
    Resume(ScopeForm),
    EndWatch(EndWatchForm),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    case_number: Option<String>,
    legal_basis: Option<String>,
    document: Option<Document>,
    officer: Option<Officer>,
    confidentiality: Option<Confidentiality>,
    summary: Option<String>,
    #[serde(default)]
    exchanges: Vec<String>,
    confirm_address: Option<ConfirmForm>,
    watch: Option<WatchForm>,
    standing_freeze: Option<StandingFreezeForm>,
    freeze: Option<FreezeForm>,
    release: Option<ReleaseForm>,
    halt: Option<ScopeForm>,
    resume: Option<ScopeForm>,
    end_watch: Option<EndWatchForm>,
}

/// `[document]`: a warrant or other document; its hash, or the file to take it from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    pub(crate) number: String,
    pub(crate) issuer: String,
    pub(crate) issued_at: At,
    pub(crate) valid_until: At,
    pub(crate) sha256: Option<Hash>,
    pub(crate) file: Option<PathBuf>,
}

/// `[officer]`: whom exchanges may contact.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Officer {
    name: String,
    title: String,
    address: String,
    email: String,
    phone: String,
}

/// `[confidentiality]`: whether and when customers may be told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Confidentiality {
    customer_may_be_told: bool,
    #[serde(default)]
    deferral_ground: String,
    notice_due: Option<At>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfirmForm {
    pub(crate) target: TargetForm,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WatchForm {
    pub(crate) root: TargetForm,
    pub(crate) stolen: BTreeMap<String, AmountForm>,
    pub(crate) period: Period,
    pub(crate) limits: Option<LimitsForm>,
    pub(crate) standing_freeze: Option<TermsForm>,
    pub(crate) taint_rule: Option<Rule>,
    pub(crate) since: Option<At>,
    pub(crate) transaction: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndWatchForm {
    pub(crate) watch_id: String,
}

/// 0 stands for the basis' own limit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(crate) struct LimitsForm {
    pub(crate) max_hops: u32,
    pub(crate) dust: BTreeMap<String, AmountForm>,
    pub(crate) max_addresses: u32,
    pub(crate) max_questions: u32,
    pub(crate) max_degree: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TermsForm {
    pub(crate) caps: BTreeMap<String, AmountForm>,
    pub(crate) freeze_period: Period,
    #[serde(default)]
    pub(crate) max_legs_per_hour: u32,
    #[serde(default)]
    pub(crate) max_holders: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StandingFreezeForm {
    pub(crate) watch_id: String,
    pub(crate) terms: TermsForm,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FreezeForm {
    pub(crate) targets: Vec<TargetForm>,
    pub(crate) caps: BTreeMap<String, AmountForm>,
    pub(crate) freeze_period: Period,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReleaseForm {
    pub(crate) frozen_by_request_id: String,
    #[serde(default)]
    pub(crate) leg_ids: Vec<String>,
}

/// `"everything"`, or a table with `exchange` or `case_number`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ScopeForm {
    Everything,
    Exchange(String),
    CaseNumber(String),
}

/// An account, or an account and a memo.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected an account, or a table of account and memo")]
pub(crate) enum TargetForm {
    Account(String),
    WithMemo {
        account: String,
        #[serde(default)]
        memo: String,
    },
}

/// Digits, with or without quotes; TOML's own integers end before large amounts do.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected an amount: an integer in the asset's smallest unit, in quotes where it is large"
)]
pub(crate) enum AmountForm {
    Text(String),
    Number(u64),
}

/// A length of time, such as `14d` or `36h`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Period(pub(crate) Duration);

/// The name of a taint rule, such as `fifo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule(pub(crate) TaintRule);

/// A moment with its offset, as a TOML date-time or an RFC 3339 text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At(pub(crate) Moment);

/// 32 bytes in hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hash(pub(crate) [u8; 32]);

/// Reads TOML, or JSON where the text begins as a JSON object does.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| error.to_string())
    } else {
        toml::from_str(text).map_err(|error| error.to_string())
    }
}

impl Form {
    /// Reads the text of a request.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let written: Written = parse(text)?;
        let mut wanted: Vec<Wanted> = [
            written.confirm_address.map(Wanted::ConfirmAddress),
            written.watch.map(Wanted::Watch),
            written.standing_freeze.map(Wanted::StandingFreeze),
            written.freeze.map(Wanted::Freeze),
            written.release.map(Wanted::Release),
            written.halt.map(Wanted::Halt),
            written.resume.map(Wanted::Resume),
            written.end_watch.map(Wanted::EndWatch),
        ]
        .into_iter()
        .flatten()
        .collect();
        let one = wanted.pop();
        let Some(one) = one.filter(|_| wanted.is_empty()) else {
            let fault =
                if wanted.is_empty() { "it says nothing of what is wanted" } else { "it wants more than one thing" };
            let kinds = "confirm_address, watch, standing_freeze, freeze, release, halt, resume, end_watch";
            return Err(format!("{fault}; give one of {kinds}"));
        };
        Ok(Self {
            case_number: written.case_number,
            legal_basis: written.legal_basis,
            document: written.document,
            officer: written.officer,
            confidentiality: written.confidentiality,
            summary: written.summary,
            exchanges: written.exchanges,
            wanted: one,
        })
    }

    /// A request in which nothing but what is wanted is said.
    pub(crate) fn wanting(wanted: Wanted) -> Self {
        Self {
            case_number: None,
            legal_basis: None,
            document: None,
            officer: None,
            confidentiality: None,
            summary: None,
            exchanges: Vec::new(),
            wanted,
        }
    }
}

impl Wanted {
    /// Which exchange holds this address?
    pub(crate) fn confirmation_of(address: &str) -> Self {
        Self::ConfirmAddress(ConfirmForm { target: TargetForm::Account(address.to_owned()) })
    }

    /// Its kind.
    pub(crate) const fn kind(&self) -> RequestKind {
        match self {
            Self::ConfirmAddress(_) => RequestKind::ConfirmAddress,
            Self::Watch(_) => RequestKind::Watch,
            Self::StandingFreeze(_) => RequestKind::StandingFreeze,
            Self::Freeze(_) => RequestKind::Freeze,
            Self::Release(_) => RequestKind::Release,
            Self::Halt(_) => RequestKind::Halt,
            Self::Resume(_) => RequestKind::Resume,
            Self::EndWatch(_) => RequestKind::EndWatch,
        }
    }

    /// Whether exchanges are asked for something, so that they must be told by whom and why.
    pub(crate) const fn is_put_to_exchanges(&self) -> bool {
        self.kind().needs_document()
    }
}

impl Document {
    pub(super) fn to_wire(&self, v: &mut Violations) -> Option<exchange::Document> {
        let Some(Hash(sha256)) = self.sha256 else {
            v.add("sha256", Reason::FieldMissing, "is required; or name the document as `file`");
            return None;
        };
        Some(exchange::Document {
            number: self.number.clone(),
            issuer: self.issuer.clone(),
            issued_at: Some(timestamp(self.issued_at.0)),
            valid_until: Some(timestamp(self.valid_until.0)),
            sha256: sha256.to_vec(),
        })
    }
}

impl AmountForm {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
        }
    }
}

impl From<&Officer> for exchange::Officer {
    fn from(officer: &Officer) -> Self {
        Self {
            name: officer.name.clone(),
            title: officer.title.clone(),
            address: officer.address.clone(),
            email: officer.email.clone(),
            phone: officer.phone.clone(),
        }
    }
}

impl From<&Confidentiality> for exchange::Confidentiality {
    fn from(confidentiality: &Confidentiality) -> Self {
        Self {
            customer_may_be_told: confidentiality.customer_may_be_told,
            deferral_ground: confidentiality.deferral_ground.clone(),
            notice_due: confidentiality.notice_due.map(|at| timestamp(at.0)),
        }
    }
}

impl From<&ScopeForm> for v1::HaltScope {
    fn from(scope: &ScopeForm) -> Self {
        use v1::halt_scope::Scope;
        let scope = match scope {
            ScopeForm::Everything => Scope::Everything(true),
            ScopeForm::Exchange(name) => Scope::Exchange(name.clone()),
            ScopeForm::CaseNumber(number) => Scope::CaseNumber(number.clone()),
        };
        Self { scope: Some(scope) }
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let period = humantime::parse_duration(&text);
        period.map(Self).map_err(|_| D::Error::custom(format!("`{text}` is no length of time such as 14d or 36h")))
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|error| D::Error::custom(format!("`{text}` is no taint rule: it {error}")))
    }
}

impl<'de> Deserialize<'de> for At {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a moment such as 2026-11-20T09:00:00+09:00")]
        enum Written {
            Toml(toml::value::Datetime),
            Text(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Toml(moment) => moment.to_string(),
            Written::Text(text) => text,
        };
        Moment::parse(&text, &Rfc3339).map(Self).map_err(|_| {
            D::Error::custom(format!("`{text}` is no moment with its offset, such as 2026-11-20T09:00:00+09:00"))
        })
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut hash = [0; 32];
        hex::decode_to_slice(&text, &mut hash)
            .map(|()| Self(hash))
            .map_err(|_| D::Error::custom("a sha256 is 64 hexadecimal digits"))
    }
}
