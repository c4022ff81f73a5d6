//! What people approved.

use std::collections::BTreeSet;

use haetae_core::{
    Act, Authorisation, AuthorisationId, Budgets, CaseRef, Confidentiality, Decision, DecisionRole, Document, LegId,
    LegalGround, Moment, Officer, Reason, Subject, Violations,
};

use super::{account::asset_amounts, timestamp};
use crate::{
    exchange::v1::{self, AuthorisationAct},
    read::{self, Read},
};

/// Names, numbers and other single lines.
const LINE: usize = 200;
/// Citations, grounds and other sentences.
const PARAGRAPH: usize = 1_000;

impl Read<Authorisation> for v1::Authorisation {
    fn read(&self, v: &mut Violations) -> Option<Authorisation> {
        let id = read::parse::<AuthorisationId>(v, "authorisation_id", &self.authorisation_id);
        let place = read_place(self, v, id);
        let exchange = read::parse(v, "exchange", &self.exchange);
        let request = read::parse(v, "request_id", &self.request_id);
        let case = read::required(v, "case", self.case.as_ref());
        let ground = read::required(v, "legal_basis", self.legal_basis.as_ref());
        read::not_empty(v, "permitted_kinds", &self.permitted_kinds);
        let permitted = read::choices(v, "permitted_kinds", &self.permitted_kinds);
        let subject = read_subject(v, self.subject.as_ref());
        let caps = read::amounts(v, "caps", &self.caps);
        let valid_from = read::moment(v, "valid_from", self.valid_from.as_ref());
        let valid_until = read::moment(v, "valid_until", self.valid_until.as_ref());
        in_order(v, "valid_until", valid_from, valid_until, "must not be before valid_from");
        let freeze_until = read::moment_optional(v, "freeze_until", self.freeze_until.as_ref());
        let confidentiality = read::required(v, "confidentiality", self.confidentiality.as_ref());
        let officer = read::required(v, "officer", self.officer.as_ref());
        let decisions = read::list(v, "decisions", &self.decisions);
        if let Some(decisions) = &decisions {
            check_decisions(v, decisions);
        }
        let issued_at = read::moment(v, "issued_at", self.issued_at.as_ref());
        let budgets = read::required(v, "budgets", self.budgets.as_ref());
        let (act, line, amendment) = place?;
        Some(Authorisation {
            id: id?,
            act,
            line,
            amendment,
            exchange: exchange?,
            request: request?,
            case: case?,
            ground: ground?,
            permitted: permitted?,
            subject: subject?,
            caps: caps?,
            valid_from: valid_from?,
            valid_until: valid_until?,
            freeze_until: freeze_until?,
            confidentiality: confidentiality?,
            officer: officer?,
            decisions: decisions?,
            issued_at: issued_at?,
            budgets: budgets?,
        })
    }
}

/// Act, line and amendment: a grant starts a line with amendment 1, everything else names the line and continues it.
fn read_place(
    wire: &v1::Authorisation,
    v: &mut Violations,
    id: Option<AuthorisationId>,
) -> Option<(Act, AuthorisationId, u32)> {
    let legs = read::parse_set::<LegId>(v, "released_leg_ids", &wire.released_leg_ids);
    let act = match AuthorisationAct::try_from(wire.act) {
        Ok(AuthorisationAct::Grant) => Some(Act::Grant),
        Ok(AuthorisationAct::Revise) => Some(Act::Revise),
        Ok(AuthorisationAct::Cancel) => legs.map(|legs| Act::Cancel { legs }),
        Ok(AuthorisationAct::Unspecified) => {
            read::missing(v, "act");
            None
        }
        Err(_) => {
            v.add("act", Reason::FieldMalformed, "is a value that the contract does not know");
            None
        }
    };
    if !matches!(act, None | Some(Act::Cancel { .. })) {
        read::empty(v, "released_leg_ids", wire.released_leg_ids.is_empty(), "unless it cancels");
    }
    let amendment = read::counted(v, "amendment", wire.amendment);
    let line = match act {
        Some(Act::Grant) => {
            read::empty(v, "amends", wire.amends.is_empty(), "in a grant, which starts its line");
            if amendment.is_some_and(|amendment| amendment.get() != 1) {
                v.add("amendment", Reason::FieldMalformed, "must be 1 in a grant");
            }
            id
        }
        Some(Act::Revise | Act::Cancel { .. }) => {
            if amendment.is_some_and(|amendment| amendment.get() == 1) {
                v.add("amendment", Reason::FieldMalformed, "must be at least 2 after the grant");
            }
            let line = read::parse::<AuthorisationId>(v, "amends", &wire.amends);
            if line.is_some() && line == id {
                v.add("amends", Reason::FieldMalformed, "must not be the authorisation itself");
            }
            line
        }
        None => None,
    };
    Some((act?, line?, amendment?.get()))
}

fn read_subject(v: &mut Violations, wire: Option<&v1::authorisation::Subject>) -> Option<Subject> {
    match read::present(v, "subject", wire)? {
        v1::authorisation::Subject::Targets(wire) => v.within("targets", |v| {
            read::not_empty(v, "targets", &wire.targets);
            read::set(v, "targets", &wire.targets).map(Subject::Targets)
        }),
        v1::authorisation::Subject::Watch(wire) => v.within("watch", |v| {
            let watch = read::parse(v, "watch_id", &wire.watch_id);
            let root = read::required(v, "root", wire.root.as_ref());
            Some(Subject::Watch { watch: watch?, root: root? })
        }),
    }
}

/// Whoever asked has not approved: two people stand behind every authorisation that needed an approval.
fn check_decisions(v: &mut Violations, decisions: &[Decision]) {
    let asked: BTreeSet<_> =
        decisions.iter().filter(|d| d.role == DecisionRole::Requested).map(|d| &d.person).collect();
    for (i, decision) in decisions.iter().enumerate() {
        if decision.role == DecisionRole::Approved && asked.contains(&decision.person) {
            v.add(&format!("decisions[{i}].person"), Reason::SelfApproval, "must not be the person who asked");
        }
    }
}

fn in_order(v: &mut Violations, field: &str, first: Option<Moment>, last: Option<Moment>, otherwise: &str) {
    if first.zip(last).is_some_and(|(first, last)| last < first) {
        v.add(field, Reason::FieldMalformed, otherwise);
    }
}

impl From<&Authorisation> for v1::Authorisation {
    fn from(authorisation: &Authorisation) -> Self {
        let (act, amends, released) = match &authorisation.act {
            Act::Grant => (AuthorisationAct::Grant, String::new(), Vec::new()),
            Act::Revise => (AuthorisationAct::Revise, authorisation.line.to_string(), Vec::new()),
            Act::Cancel { legs } => (
                AuthorisationAct::Cancel,
                authorisation.line.to_string(),
                legs.iter().map(ToString::to_string).collect(),
            ),
        };
        Self {
            authorisation_id: authorisation.id.to_string(),
            act: act.into(),
            amends,
            amendment: authorisation.amendment,
            exchange: authorisation.exchange.to_string(),
            request_id: authorisation.request.to_string(),
            case: Some((&authorisation.case).into()),
            legal_basis: Some((&authorisation.ground).into()),
            permitted_kinds: authorisation.permitted.iter().map(|kind| v1::OrderKind::from(*kind).into()).collect(),
            subject: Some((&authorisation.subject).into()),
            caps: asset_amounts(&authorisation.caps),
            valid_from: Some(timestamp(authorisation.valid_from)),
            valid_until: Some(timestamp(authorisation.valid_until)),
            freeze_until: authorisation.freeze_until.map(timestamp),
            confidentiality: Some((&authorisation.confidentiality).into()),
            officer: Some((&authorisation.officer).into()),
            decisions: authorisation.decisions.iter().map(Into::into).collect(),
            issued_at: Some(timestamp(authorisation.issued_at)),
            released_leg_ids: released,
            budgets: Some((&authorisation.budgets).into()),
        }
    }
}

impl From<&Subject> for v1::authorisation::Subject {
    fn from(subject: &Subject) -> Self {
        match subject {
            Subject::Targets(targets) => {
                Self::Targets(v1::Targets { targets: targets.iter().map(Into::into).collect() })
            }
            Subject::Watch { watch, root } => {
                Self::Watch(v1::WatchSubject { watch_id: watch.to_string(), root: Some(root.into()) })
            }
        }
    }
}

impl Read<CaseRef> for v1::Case {
    fn read(&self, v: &mut Violations) -> Option<CaseRef> {
        let agency = read::parse(v, "agency", &self.agency);
        let unit = read::parse(v, "unit", &self.unit);
        let number = read::text(v, "number", &self.number, 1..=LINE);
        Some(CaseRef { agency: agency?, unit: unit?, number: number? })
    }
}

impl From<&CaseRef> for v1::Case {
    fn from(case: &CaseRef) -> Self {
        Self { agency: case.agency.to_string(), unit: case.unit.to_string(), number: case.number.clone() }
    }
}

impl Read<LegalGround> for v1::LegalBasis {
    fn read(&self, v: &mut Violations) -> Option<LegalGround> {
        let basis = read::text(v, "basis", &self.basis, 1..=LINE);
        let citation = read::text(v, "citation", &self.citation, 1..=PARAGRAPH);
        let document = read::optional(v, "document", self.document.as_ref());
        let ratify_by = if self.emergency {
            read::moment(v, "ratify_by", self.ratify_by.as_ref()).map(Some)
        } else {
            read::empty(v, "ratify_by", self.ratify_by.is_none(), "unless it is an emergency");
            Some(None)
        };
        Some(LegalGround { basis: basis?, citation: citation?, document: document?, ratify_by: ratify_by? })
    }
}

impl From<&LegalGround> for v1::LegalBasis {
    fn from(ground: &LegalGround) -> Self {
        Self {
            basis: ground.basis.clone(),
            citation: ground.citation.clone(),
            document: ground.document.as_ref().map(Into::into),
            emergency: ground.ratify_by.is_some(),
            ratify_by: ground.ratify_by.map(timestamp),
        }
    }
}

impl Read<Document> for v1::Document {
    fn read(&self, v: &mut Violations) -> Option<Document> {
        let number = read::text(v, "number", &self.number, 1..=LINE);
        let issuer = read::text(v, "issuer", &self.issuer, 1..=LINE);
        let issued_at = read::moment(v, "issued_at", self.issued_at.as_ref());
        let valid_until = read::moment(v, "valid_until", self.valid_until.as_ref());
        in_order(v, "valid_until", issued_at, valid_until, "must not be before issued_at");
        let sha256 = read::sha256(v, "sha256", &self.sha256);
        Some(Document {
            number: number?,
            issuer: issuer?,
            issued_at: issued_at?,
            valid_until: valid_until?,
            sha256: sha256?,
        })
    }
}

impl From<&Document> for v1::Document {
    fn from(document: &Document) -> Self {
        Self {
            number: document.number.clone(),
            issuer: document.issuer.clone(),
            issued_at: Some(timestamp(document.issued_at)),
            valid_until: Some(timestamp(document.valid_until)),
            sha256: document.sha256.to_vec(),
        }
    }
}

impl Read<Confidentiality> for v1::Confidentiality {
    fn read(&self, v: &mut Violations) -> Option<Confidentiality> {
        if self.customer_may_be_told {
            let because = "where the customer may be told";
            read::empty(v, "deferral_ground", self.deferral_ground.is_empty(), because);
            read::empty(v, "notice_due", self.notice_due.is_none(), because);
            return Some(Confidentiality::Open);
        }
        let ground = read::text(v, "deferral_ground", &self.deferral_ground, 1..=PARAGRAPH);
        let notice_due = read::moment(v, "notice_due", self.notice_due.as_ref());
        Some(Confidentiality::Deferred { ground: ground?, notice_due: notice_due? })
    }
}

impl From<&Confidentiality> for v1::Confidentiality {
    fn from(confidentiality: &Confidentiality) -> Self {
        match confidentiality {
            Confidentiality::Open => Self { customer_may_be_told: true, ..Self::default() },
            Confidentiality::Deferred { ground, notice_due } => Self {
                customer_may_be_told: false,
                deferral_ground: ground.clone(),
                notice_due: Some(timestamp(*notice_due)),
            },
        }
    }
}

impl Read<Officer> for v1::Officer {
    fn read(&self, v: &mut Violations) -> Option<Officer> {
        let name = read::text(v, "name", &self.name, 1..=LINE);
        let title = read::text(v, "title", &self.title, 1..=LINE);
        let address = read::text(v, "address", &self.address, 1..=PARAGRAPH);
        let email = read::text(v, "email", &self.email, 1..=LINE);
        let phone = read::text(v, "phone", &self.phone, 1..=LINE);
        Some(Officer { name: name?, title: title?, address: address?, email: email?, phone: phone? })
    }
}

impl From<&Officer> for v1::Officer {
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

impl Read<Decision> for v1::Decision {
    fn read(&self, v: &mut Violations) -> Option<Decision> {
        let role = read::choice(v, "role", self.role);
        let person = read::parse(v, "person", &self.person);
        let at = read::moment(v, "at", self.at.as_ref());
        Some(Decision { role: role?, person: person?, at: at? })
    }
}

impl From<&Decision> for v1::Decision {
    fn from(decision: &Decision) -> Self {
        Self {
            role: v1::DecisionRole::from(decision.role).into(),
            person: decision.person.as_str().to_owned(),
            at: Some(timestamp(decision.at)),
        }
    }
}

impl Read<Budgets> for v1::Budgets {
    fn read(&self, _: &mut Violations) -> Option<Budgets> {
        Some(Budgets { max_questions: self.max_questions, max_legs_per_hour: self.max_legs_per_hour })
    }
}

impl From<&Budgets> for v1::Budgets {
    fn from(budgets: &Budgets) -> Self {
        Self { max_questions: budgets.max_questions, max_legs_per_hour: budgets.max_legs_per_hour }
    }
}
