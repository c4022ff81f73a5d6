//! A request as people write it, in TOML or JSON: the contract's field names, amounts by asset, periods such as `14d`,
//! and nothing that the profile's case already says. See the examples beside this file.

mod form;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use haetae_core::{Account, Amount, Asset, ChainId, Collect, MalformedAccount, Reason, RequestKind, Violations};
use haetae_wire::{
    convert,
    exchange::v1 as exchange,
    intake::v1::{self, request_content::Kind},
};
use sha2::{Digest, Sha256};

use form::{
    AmountForm, At, FreezeForm, Hash, Period, ReleaseForm, Rule, StandingFreezeForm, TargetForm, TermsForm, WatchForm,
};
pub(crate) use form::{Confidentiality, Document, Form, Officer, ScopeForm, Wanted};

use crate::{
    failure::Failure,
    profile::{Case, Profile},
    show::AssetName,
};

/// An example request of a kind, every field explained.
pub(crate) const fn example(kind: RequestKind) -> &'static str {
    match kind {
        RequestKind::ConfirmAddress => include_str!("content/examples/confirm-address.toml"),
        RequestKind::Watch => include_str!("content/examples/watch.toml"),
        RequestKind::StandingFreeze => include_str!("content/examples/standing-freeze.toml"),
        RequestKind::Freeze => include_str!("content/examples/freeze.toml"),
        RequestKind::Release => include_str!("content/examples/release.toml"),
        RequestKind::Halt => include_str!("content/examples/halt.toml"),
        RequestKind::Resume => include_str!("content/examples/resume.toml"),
        RequestKind::EndWatch => include_str!("content/examples/end-watch.toml"),
    }
}

/// Reads a request from a file, or from standard input where the path is `-`.
pub(crate) fn read(path: &Path) -> Result<Form, Failure> {
    let (shown, folder, text) = if path == Path::new("-") {
        ("standard input".to_owned(), Path::new(""), io::read_to_string(io::stdin()))
    } else {
        (path.display().to_string(), path.parent().unwrap_or(Path::new("")), fs::read_to_string(path))
    };
    let text = text.map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    let mut form = Form::parse(&text).map_err(|error| {
        Failure::usage(format!("{shown} is not a request: {error}"))
            .hint("`haetae request example KIND` prints one of each kind.")
    })?;
    if let Some(document) = &mut form.document {
        document.hash_file(folder)?;
    }
    Ok(form)
}

/// Reads the document that a request rests on.
pub(crate) fn read_document(path: &Path) -> Result<Document, Failure> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    let mut document: Document = form::parse(&text).map_err(|error| {
        Failure::usage(format!("{shown} does not describe a document: {error}"))
            .hint("It holds number, issuer, issued_at, valid_until, and sha256 or file.")
    })?;
    document.hash_file(path.parent().unwrap_or(Path::new("")))?;
    Ok(document)
}

impl Document {
    /// Takes the hash of the document itself, where its file is named instead.
    fn hash_file(&mut self, folder: &Path) -> Result<(), Failure> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let path: PathBuf = folder.join(file);
        let bytes = fs::read(&path)
            .map_err(|error| Failure::usage(format!("cannot read the document {}: {error}", path.display())))?;
        let found: [u8; 32] = Sha256::digest(bytes).into();
        match self.sha256 {
            Some(Hash(stated)) if stated != found => {
                let path = path.display();
                Err(Failure::usage(format!("the document {path} does not have the sha256 that is stated beside it")))
            }
            _ => {
                self.sha256 = Some(Hash(found));
                Ok(())
            }
        }
    }
}

/// What names stand for.
pub(crate) struct Names<'a> {
    /// The chain of addresses without one.
    pub(crate) chain: Option<&'a ChainId>,
    /// Assets by symbol.
    pub(crate) assets: &'a [AssetName],
}

impl<'a> Names<'a> {
    /// The profile's names.
    pub(crate) fn of(profile: &'a Profile) -> Self {
        Self { chain: profile.chain.as_ref(), assets: &profile.asset }
    }
}

/// Puts a request together from what was written and what the case says.
pub(crate) fn complete(form: Form, case: Case, officer: Option<Officer>) -> Form {
    let to_exchanges = form.wanted.is_put_to_exchanges();
    Form {
        case_number: form.case_number.or(Some(case.number)),
        legal_basis: form.legal_basis.or(case.legal_basis),
        document: form.document.or(case.document.filter(|_| to_exchanges)),
        officer: form.officer.or(officer.filter(|_| to_exchanges)),
        confidentiality: form.confidentiality.or(case.confidentiality.filter(|_| to_exchanges)),
        summary: form.summary.or(case.summary.filter(|_| to_exchanges)),
        ..form
    }
}

/// The request as it travels. What only the service can judge is left to it.
///
/// # Errors
/// Every fault of form, by the contract's fields.
pub(crate) fn to_wire(form: &Form, names: &Names<'_>) -> Result<v1::RequestContent, Failure> {
    let mut v = Violations::new();
    let content = v.within("content", |v| Writer { names }.content(v, form));
    v.finish(content).map_err(|faults| Failure::faults("the request", faults))
}

struct Writer<'a> {
    names: &'a Names<'a>,
}

impl Writer<'_> {
    fn content(&self, v: &mut Violations, form: &Form) -> Option<v1::RequestContent> {
        let document = form.document.as_ref().map(|document| v.within("document", |v| document.to_wire(v)));
        let kind = match &form.wanted {
            Wanted::ConfirmAddress(confirm) => v.within("confirm_address", |v| {
                let target = Some(self.target(v, "target", &confirm.target)?);
                Some(Kind::ConfirmAddress(v1::ConfirmAddress { target }))
            }),
            Wanted::Watch(watch) => v.within("watch", |v| self.watch(v, watch)).map(Kind::Watch),
            Wanted::StandingFreeze(StandingFreezeForm { watch_id, terms }) => v.within("standing_freeze", |v| {
                let terms = Some(v.within("terms", |v| self.terms(v, terms))?);
                Some(Kind::StandingFreeze(v1::StandingFreeze { watch_id: watch_id.clone(), terms }))
            }),
            Wanted::Freeze(freeze) => v.within("freeze", |v| self.freeze(v, freeze)).map(Kind::Freeze),
            Wanted::Release(ReleaseForm { frozen_by_request_id, leg_ids }) => Some(Kind::Release(v1::Release {
                frozen_by_request_id: frozen_by_request_id.clone(),
                leg_ids: leg_ids.clone(),
            })),
            Wanted::Halt(scope) => Some(Kind::Halt(v1::Halt { scope: Some(scope.into()) })),
            Wanted::Resume(scope) => Some(Kind::Resume(v1::Resume { scope: Some(scope.into()) })),
            Wanted::EndWatch(end) => Some(Kind::EndWatch(v1::EndWatch { watch_id: end.watch_id.clone() })),
        };
        Some(v1::RequestContent {
            case_number: form.case_number.clone().unwrap_or_default(),
            legal_basis: form.legal_basis.clone().unwrap_or_default(),
            document: match document {
                Some(document) => Some(document?),
                None => None,
            },
            officer: form.officer.as_ref().map(Into::into),
            confidentiality: form.confidentiality.as_ref().map(Into::into),
            summary: form.summary.clone().unwrap_or_default(),
            exchanges: form.exchanges.clone(),
            kind: Some(kind?),
        })
    }

    fn watch(&self, v: &mut Violations, form: &WatchForm) -> Option<v1::Watch> {
        let root = self.target(v, "root", &form.root);
        let stolen = self.amounts(v, "stolen", &form.stolen);
        let limits = match &form.limits {
            None => Some(None),
            Some(limits) => v.within("limits", |v| {
                Some(Some(v1::WatchLimits {
                    max_hops: limits.max_hops,
                    dust: self.amounts(v, "dust", &limits.dust)?,
                    max_addresses: limits.max_addresses,
                    max_questions: limits.max_questions,
                    max_degree: limits.max_degree,
                }))
            }),
        };
        let standing_freeze = match &form.standing_freeze {
            None => Some(None),
            Some(terms) => v.within("standing_freeze", |v| self.terms(v, terms)).map(Some),
        };
        let start = match (form.since, &form.transaction) {
            (Some(_), Some(_)) => {
                v.add("transaction", Reason::FieldMalformed, "must be left out where since is given");
                None
            }
            (Some(At(since)), None) => Some(Some(v1::watch::Start::Since(convert::timestamp(since)))),
            (None, Some(hash)) => Some(Some(v1::watch::Start::Transaction(hash.clone()))),
            (None, None) => Some(None),
        };
        Some(v1::Watch {
            root: Some(root?),
            stolen: stolen?,
            period: Some(period(form.period)),
            limits: limits?,
            standing_freeze: standing_freeze?,
            taint_rule: form.taint_rule.map_or(exchange::TaintRule::Unspecified, |Rule(rule)| rule.into()).into(),
            start: start?,
        })
    }

    fn terms(&self, v: &mut Violations, form: &TermsForm) -> Option<v1::StandingFreezeTerms> {
        Some(v1::StandingFreezeTerms {
            caps: self.amounts(v, "caps", &form.caps)?,
            freeze_period: Some(period(form.freeze_period)),
            max_legs_per_hour: form.max_legs_per_hour,
            max_holders: form.max_holders,
        })
    }

    fn freeze(&self, v: &mut Violations, form: &FreezeForm) -> Option<v1::Freeze> {
        let targets: Vec<_> = form
            .targets
            .iter()
            .enumerate()
            .map(|(i, target)| self.target(v, &format!("targets[{i}]"), target))
            .collect();
        let caps = self.amounts(v, "caps", &form.caps);
        Some(v1::Freeze {
            targets: targets.into_iter().collect::<Option<_>>()?,
            caps: caps?,
            freeze_period: Some(period(form.freeze_period)),
        })
    }

    fn target(&self, v: &mut Violations, field: &str, form: &TargetForm) -> Option<exchange::Target> {
        let (TargetForm::Account(text) | TargetForm::WithMemo { account: text, .. }) = form;
        let account = v.within(field, |v| account(text, self.names.chain).collect(v, "account"))?;
        let memo = match form {
            TargetForm::Account(_) => String::new(),
            TargetForm::WithMemo { memo, .. } => memo.clone(),
        };
        Some(exchange::Target { account: account.to_string(), memo })
    }

    fn amounts(
        &self,
        v: &mut Violations,
        field: &str,
        amounts: &BTreeMap<String, AmountForm>,
    ) -> Option<Vec<exchange::AssetAmount>> {
        let all: Vec<_> = amounts
            .iter()
            .enumerate()
            .map(|(i, (asset, amount))| {
                v.within(format!("{field}[{i}]"), |v| {
                    let asset = self.asset(v, asset);
                    let amount: Option<Amount> = amount.text().parse().collect(v, "amount");
                    Some(exchange::AssetAmount { asset: asset?.to_string(), amount: amount?.to_string() })
                })
            })
            .collect();
        all.into_iter().collect()
    }

    /// An asset by its CAIP-19 id, or by the symbol that the profile gives it on one chain only.
    fn asset(&self, v: &mut Violations, text: &str) -> Option<Asset> {
        if text.contains('/') {
            return text.parse().collect(v, "asset");
        }
        let mut named = self.names.assets.iter().filter(|name| name.symbol == text);
        match (named.next(), named.next()) {
            (Some(name), None) => Some(name.id.clone()),
            (None, _) => {
                let description = "is neither in CAIP-19 form nor the symbol of an [[asset]] in the profile";
                v.add("asset", Reason::AddressMalformed, description);
                None
            }
            (Some(_), Some(_)) => {
                v.add("asset", Reason::AddressMalformed, "is the symbol of several assets: write it in CAIP-19 form");
                None
            }
        }
    }
}

/// An asset by its CAIP-19 id, or by the symbol that the profile gives it on one chain only.
pub(crate) fn asset(v: &mut Violations, text: &str, names: &Names<'_>) -> Option<Asset> {
    Writer { names }.asset(v, text)
}

/// An account in CAIP-10 form, or an address on the chain of those that name none.
pub(crate) fn account(text: &str, chain: Option<&ChainId>) -> Result<Account, MalformedAccount> {
    match chain {
        Some(chain) if !text.contains(':') => format!("{chain}:{text}").parse(),
        _ => text.parse(),
    }
}

fn period(period: Period) -> prost_types::Duration {
    convert::duration(period.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "0x52908400098527886E0F7030069857D2E4169EE7";
    const USDT: &str = "eip155:1/erc20:0xdAC17F958D2ee523a2206206994597C13D831ec7";

    fn assets() -> Vec<AssetName> {
        vec![AssetName { id: USDT.parse().unwrap(), symbol: "USDT".into(), decimals: 6 }]
    }

    fn wire(text: &str) -> Result<v1::RequestContent, Failure> {
        let (chain, assets) = (ChainId::evm(1), assets());
        to_wire(&Form::parse(text).unwrap(), &Names { chain: Some(&chain), assets: &assets })
    }

    fn said(failure: Failure) -> String {
        failure.for_people(&crate::show::Look::default())
    }

    #[test]
    fn every_kind_has_an_example_that_is_a_request_of_that_kind() {
        for kind in RequestKind::ALL {
            let form = Form::parse(example(kind)).unwrap_or_else(|error| panic!("{kind}: {error}"));
            assert_eq!(form.wanted.kind(), kind);
            let content = to_wire(&form, &Names { chain: None, assets: &[] });
            assert!(content.is_ok(), "{kind}: {}", said(content.unwrap_err()));
        }
    }

    #[test]
    fn toml_and_json_say_the_same() {
        let toml = format!(
            "case_number = \"1\"\n[watch]\nroot = \"{ROOT}\"\nperiod = \"14d\"\nstolen = {{ USDT = \"1500000\" }}\n"
        );
        let json = format!(
            r#"{{"case_number": "1", "watch": {{"root": {{"account": "eip155:1:{ROOT}"}}, "period": "14d",
               "stolen": {{"{USDT}": 1500000}}}}}}"#
        );
        let content = wire(&toml).unwrap();
        assert_eq!(content, wire(&json).unwrap());
        let Some(Kind::Watch(watch)) = content.kind else { panic!("a watch was asked for") };
        assert_eq!(watch.root.unwrap().account, format!("eip155:1:{ROOT}"));
        assert_eq!(watch.stolen, [exchange::AssetAmount { asset: USDT.into(), amount: "1500000".into() }]);
        assert_eq!(watch.period.unwrap().seconds, 14 * 86_400);
    }

    #[test]
    fn a_watch_begins_with_a_time_or_with_a_transaction_and_not_with_both() {
        let start = |more: &str| {
            let head = format!("[watch]\nroot = \"{ROOT}\"\nperiod = \"14d\"\nstolen = {{ USDT = \"1\" }}\n");
            wire(&format!("{head}{more}")).map(|content| match content.kind {
                Some(Kind::Watch(watch)) => watch.start,
                _ => panic!("a watch was asked for"),
            })
        };
        assert_eq!(start("").unwrap(), None);
        let since = "since = 2026-11-30T18:00:00+09:00\n";
        let Some(v1::watch::Start::Since(read)) = start(since).unwrap() else { panic!("a time was given") };
        assert_eq!(read.seconds, 1_796_029_200);
        let transaction = format!("transaction = \"0x{}\"\n", "ab".repeat(32));
        assert!(matches!(start(&transaction).unwrap(), Some(v1::watch::Start::Transaction(_))));
        assert!(said(start(&format!("{since}{transaction}")).unwrap_err()).contains("content.watch.transaction"));
    }

    #[test]
    fn every_fault_is_named_at_once_by_its_field_in_the_contract() {
        let text = format!(
            "[freeze]\ntargets = [\"{ROOT}\", \"0x123\"]\nfreeze_period = \"30d\"\ncaps = {{ USDC = \"1\", USDT = \"1.5\" }}\n"
        );
        let said = said(wire(&text).unwrap_err());
        for field in
            ["content.freeze.targets[1].account:", "content.freeze.caps[0].asset:", "content.freeze.caps[1].amount:"]
        {
            assert!(said.contains(field), "{field} in {said}");
        }
    }

    #[test]
    fn a_request_wants_exactly_one_thing_and_nothing_unknown() {
        for (text, says) in [
            ("case_number = \"1\"\n", "says nothing of what is wanted"),
            ("halt = \"everything\"\nresume = \"everything\"\n", "wants more than one thing"),
            ("halt = \"everything\"\nurgent = true\n", "urgent"),
        ] {
            let error = Form::parse(text).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn the_case_fills_in_what_is_left_out_but_changes_nothing_that_is_said() {
        let case = Case {
            number: "7".into(),
            legal_basis: Some("warrant".into()),
            summary: Some("of the case".into()),
            ..Case::default()
        };
        let form = Form::parse(&format!("summary = \"own\"\n[confirm_address]\ntarget = \"{ROOT}\"\n")).unwrap();
        let form = complete(form, case.clone(), None);
        assert_eq!(form.case_number.as_deref(), Some("7"));
        assert_eq!(form.legal_basis.as_deref(), Some("warrant"));
        assert_eq!(form.summary.as_deref(), Some("own"));

        let halt = complete(Form::parse("halt = \"everything\"\n").unwrap(), case, None);
        assert_eq!(halt.summary, None, "a halt is not about the case's facts");
    }

    #[test]
    fn the_documents_hash_is_taken_from_its_file_and_must_be_the_one_stated() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("warrant.pdf"), b"hello").unwrap();
        let request = folder.path().join("request.toml");
        let text = |more: &str| {
            format!(
                "[confirm_address]\ntarget = \"{ROOT}\"\n[document]\nnumber = \"1\"\nissuer = \"court\"\n\
                 issued_at = 2026-11-20T09:00:00+09:00\nvalid_until = \"2026-12-20T00:00:00Z\"\nfile = \"warrant.pdf\"\n{more}"
            )
        };
        fs::write(&request, text("")).unwrap();
        let names = Names { chain: Some(&ChainId::evm(1)), assets: &[] };
        let document = to_wire(&read(&request).unwrap(), &names).unwrap().document.unwrap();
        assert_eq!(hex::encode(document.sha256), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
        assert_eq!(document.issued_at.unwrap().seconds, 1_795_132_800);

        fs::write(&request, text(&format!("sha256 = \"{}\"\n", "00".repeat(32)))).unwrap();
        assert!(said(read(&request).unwrap_err()).contains("does not have the sha256"));
    }
}
