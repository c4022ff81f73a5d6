//! What an exchange says back.

use haetae_core::{
    Amount, Confirmation, ConfirmationAnswer, Event, EventContent, LegReport, LegState, Reason, Receipt, Refusal,
    SuspiciousActivity, Violations,
};

use super::timestamp;
use crate::{
    exchange::v1,
    read::{self, Read},
};

const LINE: usize = 200;
const MESSAGE: usize = 2_000;

impl Read<Receipt> for v1::Receipt {
    fn read(&self, v: &mut Violations) -> Option<Receipt> {
        let exchange = read::parse(v, "exchange", &self.exchange);
        let report = read::required(v, "report", self.report.as_ref());
        let at = read::moment(v, "at", self.at.as_ref());
        Some(Receipt { exchange: exchange?, report: report?, at: at? })
    }
}

impl From<&Receipt> for v1::Receipt {
    fn from(receipt: &Receipt) -> Self {
        Self {
            exchange: receipt.exchange.to_string(),
            report: Some((&receipt.report).into()),
            at: Some(timestamp(receipt.at)),
        }
    }
}

impl Read<Event> for v1::Event {
    fn read(&self, v: &mut Violations) -> Option<Event> {
        let exchange = read::parse(v, "exchange", &self.exchange);
        let log_id = read::text(v, "log_id", &self.log_id, 1..=LINE);
        if self.sequence == 0 {
            read::missing(v, "sequence");
        }
        let at = read::moment(v, "at", self.at.as_ref());
        let content = match read::present(v, "what", self.what.as_ref()) {
            None => None,
            Some(v1::event::What::Report(report)) => {
                read::required(v, "report", Some(report)).map(EventContent::Report)
            }
            Some(v1::event::What::SuspiciousActivity(activity)) => {
                read::required(v, "suspicious_activity", Some(activity)).map(EventContent::SuspiciousActivity)
            }
        };
        Some(Event {
            exchange: exchange?,
            log_id: log_id?,
            epoch: self.epoch,
            sequence: self.sequence,
            at: at?,
            content: content?,
        })
    }
}

impl From<&Event> for v1::Event {
    fn from(event: &Event) -> Self {
        Self {
            exchange: event.exchange.to_string(),
            log_id: event.log_id.clone(),
            epoch: event.epoch,
            sequence: event.sequence,
            at: Some(timestamp(event.at)),
            what: Some(match &event.content {
                EventContent::Report(report) => v1::event::What::Report(report.into()),
                EventContent::SuspiciousActivity(activity) => v1::event::What::SuspiciousActivity(activity.into()),
            }),
        }
    }
}

impl Read<LegReport> for v1::LegReport {
    fn read(&self, v: &mut Violations) -> Option<LegReport> {
        let leg = read::parse(v, "leg_id", &self.leg_id);
        let revision = read::counted(v, "revision", self.revision);
        let order_sha256 = read::sha256(v, "order_sha256", &self.order_sha256);
        let state = read::choice::<LegState>(v, "state", self.state);
        let frozen = match state {
            Some(LegState::FrozenPartial | LegState::FrozenFull) => {
                read::amount(v, "frozen_amount", &self.frozen_amount).map(Some)
            }
            _ => read::parse_optional::<Amount>(v, "frozen_amount", &self.frozen_amount),
        };
        let refusal = read::optional(v, "refusal", self.refusal.as_ref());
        let confirmation = read::optional(v, "confirmation", self.confirmation.as_ref());
        if let Some(state) = state {
            belongs_to(v, "refusal", self.refusal.is_some(), state, LegState::Refused);
            belongs_to(v, "confirmation", self.confirmation.is_some(), state, LegState::Answered);
        }
        let holder = read::text_optional(v, "holder_reference", &self.holder_reference, LINE);
        Some(LegReport {
            leg: leg?,
            revision: revision?,
            order_sha256: order_sha256?,
            state: state?,
            frozen: frozen?,
            refusal: refusal?,
            confirmation: confirmation?,
            holder: holder?,
        })
    }
}

/// A part that belongs to one state is there in that state and in no other.
fn belongs_to(v: &mut Violations, field: &str, there: bool, state: LegState, owner: LegState) {
    if state == owner {
        read::present(v, field, there.then_some(()));
    } else {
        read::empty(v, field, !there, "in this state");
    }
}

impl From<&LegReport> for v1::LegReport {
    fn from(report: &LegReport) -> Self {
        Self {
            leg_id: report.leg.to_string(),
            revision: report.revision.get(),
            order_sha256: report.order_sha256.to_vec(),
            state: v1::LegState::from(report.state).into(),
            frozen_amount: report.frozen.map(|amount| amount.to_string()).unwrap_or_default(),
            refusal: report.refusal.as_ref().map(Into::into),
            confirmation: report.confirmation.as_ref().map(Into::into),
            holder_reference: report.holder.clone().unwrap_or_default(),
        }
    }
}

impl Read<Refusal> for v1::Refusal {
    fn read(&self, v: &mut Violations) -> Option<Refusal> {
        let reason = read::choice(v, "reason", self.reason);
        let message = read::text(v, "message", &self.message, 0..=MESSAGE);
        Some(Refusal { reason: reason?, message: message?, retry: self.retry })
    }
}

impl From<&Refusal> for v1::Refusal {
    fn from(refusal: &Refusal) -> Self {
        Self {
            reason: v1::RefusalReason::from(refusal.reason).into(),
            message: refusal.message.clone(),
            retry: refusal.retry,
        }
    }
}

impl Read<Confirmation> for v1::Confirmation {
    fn read(&self, v: &mut Violations) -> Option<Confirmation> {
        let answer = read::choice(v, "answer", self.answer);
        let as_of = read::moment(v, "as_of", self.as_of.as_ref());
        let wallets_searched = read::choices(v, "wallets_searched", &self.wallets_searched);
        let wallet_role = read::choice_optional(v, "wallet_role", self.wallet_role);
        if matches!(wallet_role, Some(Some(_))) && !matches!(answer, None | Some(ConfirmationAnswer::Held)) {
            v.add("wallet_role", Reason::FieldMalformed, "must be unspecified unless the address is held");
        }
        Some(Confirmation {
            answer: answer?,
            as_of: as_of?,
            wallets_searched: wallets_searched?,
            wallet_role: wallet_role?,
        })
    }
}

impl From<&Confirmation> for v1::Confirmation {
    fn from(confirmation: &Confirmation) -> Self {
        Self {
            answer: v1::ConfirmationAnswer::from(confirmation.answer).into(),
            as_of: Some(timestamp(confirmation.as_of)),
            wallets_searched: confirmation.wallets_searched.iter().map(|r| v1::WalletRole::from(*r).into()).collect(),
            wallet_role: confirmation.wallet_role.map_or(v1::WalletRole::Unspecified, Into::into).into(),
        }
    }
}

impl Read<SuspiciousActivity> for v1::SuspiciousActivity {
    fn read(&self, v: &mut Violations) -> Option<SuspiciousActivity> {
        let account = read::required(v, "account", self.account.as_ref());
        let transfers = read::list(v, "transfers", &self.transfers);
        let summary = read::text(v, "summary", &self.summary, 1..=MESSAGE);
        Some(SuspiciousActivity { account: account?, transfers: transfers?, summary: summary? })
    }
}

impl From<&SuspiciousActivity> for v1::SuspiciousActivity {
    fn from(activity: &SuspiciousActivity) -> Self {
        Self {
            account: Some((&activity.account).into()),
            transfers: activity.transfers.iter().map(Into::into).collect(),
            summary: activity.summary.clone(),
        }
    }
}
