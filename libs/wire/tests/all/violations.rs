//! Every fault of a message is named, by the path of its field.

use haetae_core::*;
use haetae_wire::{
    exchange::v1::{self, AssetAmount},
    read,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::{arbitrary, party::fields};

#[test]
fn an_empty_authorisation_lacks_all_that_is_required() {
    let faults = Authorisation::try_from(&v1::Authorisation::default()).unwrap_err();
    assert!(faults.iter().all(|fault| fault.reason == Reason::FieldMissing), "{faults:?}");
    assert_eq!(
        fields(&faults),
        [
            "authorisation_id",
            "act",
            "amendment",
            "exchange",
            "request_id",
            "case",
            "legal_basis",
            "permitted_kinds",
            "subject",
            "valid_from",
            "valid_until",
            "confidentiality",
            "officer",
            "issued_at",
            "budgets"
        ]
    );
}

/// Some authorisation, as it travels.
fn authorisation() -> v1::Authorisation {
    let authorisation = arbitrary::authorisation().new_tree(&mut TestRunner::deterministic()).unwrap().current();
    let line = authorisation.id;
    v1::Authorisation::from(&Authorisation { act: Act::Grant, line, amendment: 1, ..authorisation })
}

fn faults_after(change: impl FnOnce(&mut v1::Authorisation)) -> Vec<(String, Reason)> {
    let mut wire = authorisation();
    assert_eq!(Authorisation::try_from(&wire).map(|_| ()), Ok(()));
    change(&mut wire);
    let faults = Authorisation::try_from(&wire).unwrap_err();
    faults.into_iter().map(|fault| (fault.field, fault.reason)).collect()
}

#[test]
fn faults_deep_inside_have_their_whole_path() {
    let faults = faults_after(|wire| {
        wire.case.as_mut().unwrap().unit = "Cyber Unit".into();
        wire.legal_basis.as_mut().unwrap().document = Some(v1::Document { sha256: vec![1; 31], ..Default::default() });
        wire.permitted_kinds = vec![1, 0, 1, 99];
        wire.subject = Some(v1::authorisation::Subject::Targets(v1::Targets {
            targets: vec![
                v1::Target {
                    account: "eip155:1:0x52908400098527886e0f7030069857D2E4169EE7".into(),
                    ..Default::default()
                },
                v1::Target {
                    account: "eip155:1:0x52908400098527886E0F7030069857D2E4169EE7".into(),
                    ..Default::default()
                },
                v1::Target {
                    account: "eip155:1:0x52908400098527886e0f7030069857d2e4169ee7".into(),
                    ..Default::default()
                },
            ],
        }));
        wire.caps = vec![
            AssetAmount { asset: "eip155:1/slip44:60".into(), amount: "0".into() },
            AssetAmount { asset: "eip155:1/slip44:60".into(), amount: "1".into() },
            AssetAmount { asset: "eip155:1/slip44:60".into(), amount: "1".into() },
            AssetAmount { asset: "ether".into(), amount: "1.5".into() },
        ];
    });
    let faults: Vec<_> = faults.iter().map(|(field, reason)| (field.as_str(), *reason)).collect();
    assert_eq!(
        faults,
        [
            ("case.unit", Reason::FieldMalformed),
            ("legal_basis.document.number", Reason::FieldMissing),
            ("legal_basis.document.issuer", Reason::FieldMissing),
            ("legal_basis.document.issued_at", Reason::FieldMissing),
            ("legal_basis.document.valid_until", Reason::FieldMissing),
            ("legal_basis.document.sha256", Reason::FieldMalformed),
            ("permitted_kinds[1]", Reason::FieldMissing),
            ("permitted_kinds[2]", Reason::FieldMalformed),
            ("permitted_kinds[3]", Reason::FieldMalformed),
            ("targets.targets[0].account", Reason::AddressChecksum),
            ("targets.targets[2]", Reason::FieldMalformed),
            ("caps[0].amount", Reason::AmountZero),
            ("caps[2].asset", Reason::FieldMalformed),
            ("caps[3].asset", Reason::AddressMalformed),
            ("caps[3].amount", Reason::AmountMalformed),
        ]
    );
}

#[test]
fn a_grant_starts_its_line_and_everything_else_continues_one() {
    let one = |field: &str, reason| vec![(field.to_owned(), reason)];
    let other = "6f0c7f6e-8d4f-4c86-9c53-5c0b4c1f7c11";
    assert_eq!(faults_after(|wire| wire.amends = other.into()), one("amends", Reason::FieldMalformed));
    assert_eq!(faults_after(|wire| wire.amendment = 2), one("amendment", Reason::FieldMalformed));
    let faults = faults_after(|wire| wire.released_leg_ids = vec![other.into()]);
    assert_eq!(faults, one("released_leg_ids", Reason::FieldMalformed));
    let faults = faults_after(|wire| {
        wire.act = v1::AuthorisationAct::Revise.into();
        wire.amendment = 2;
    });
    assert_eq!(faults, one("amends", Reason::FieldMissing));
    let faults = faults_after(|wire| {
        wire.act = v1::AuthorisationAct::Cancel.into();
        wire.amends = wire.authorisation_id.clone();
    });
    assert_eq!(faults[0], ("amendment".into(), Reason::FieldMalformed));
    assert_eq!(faults[1], ("amends".into(), Reason::FieldMalformed));
}

#[test]
fn whoever_asked_cannot_have_approved() {
    let decision = |role: v1::DecisionRole, person: &str| v1::Decision {
        role: role.into(),
        person: person.into(),
        at: Some(prost_types::Timestamp::default()),
    };
    let faults = faults_after(|wire| {
        wire.decisions = vec![
            decision(v1::DecisionRole::Requested, "kim"),
            decision(v1::DecisionRole::Approved, "lee"),
            decision(v1::DecisionRole::Approved, "kim"),
        ];
    });
    assert_eq!(faults, [("decisions[2].person".to_owned(), Reason::SelfApproval)]);
}

#[test]
fn an_emergency_has_a_time_to_ratify_and_nothing_else_has() {
    let faults = faults_after(|wire| {
        let basis = wire.legal_basis.as_mut().unwrap();
        (basis.emergency, basis.ratify_by) = (true, None);
    });
    assert_eq!(faults, [("legal_basis.ratify_by".to_owned(), Reason::FieldMissing)]);
    let faults = faults_after(|wire| {
        let basis = wire.legal_basis.as_mut().unwrap();
        (basis.emergency, basis.ratify_by) = (false, Some(prost_types::Timestamp::default()));
    });
    assert_eq!(faults, [("legal_basis.ratify_by".to_owned(), Reason::FieldMalformed)]);
}

#[test]
fn money_on_another_chain_than_its_account_did_not_arrive_there() {
    let arrival = arbitrary::arrival().new_tree(&mut TestRunner::deterministic()).unwrap().current();
    let wire = v1::Arrival { asset: "eip155:0/slip44:60".into(), ..v1::Arrival::from(&arrival) };
    let faults = Arrival::try_from(&wire).unwrap_err();
    assert_eq!(
        faults.iter().map(|f| (f.field.as_str(), f.reason)).collect::<Vec<_>>(),
        [("asset", Reason::WrongChain)]
    );
}

#[test]
fn moments_and_durations_outside_the_calendar_are_refused() {
    let malformed = |seconds, nanos| {
        let mut violations = Violations::new();
        let read = read::moment(&mut violations, "at", Some(&prost_types::Timestamp { seconds, nanos }));
        violations.finish(read).is_err()
    };
    assert!(!malformed(-62_135_596_800, 0) && !malformed(253_402_300_799, 999_999_999));
    assert!(malformed(-62_135_596_801, 0) && malformed(253_402_300_800, 0) && malformed(i64::MIN, 0));
    assert!(malformed(0, -1) && malformed(0, 1_000_000_000));
    for (seconds, nanos) in [(0, 0), (-1, 0), (0, -1), (1, 1_000_000_000), (1, -1)] {
        let mut violations = Violations::new();
        let wire = prost_types::Duration { seconds, nanos };
        assert_eq!(read::duration(&mut violations, "period", Some(&wire)), None);
        assert!(violations.finish(Some(())).is_err());
    }
}

#[test]
fn text_is_measured_in_characters_and_holds_no_control_characters() {
    let read = |text: &str| {
        let mut violations = Violations::new();
        let read = read::text(&mut violations, "summary", text, 2..=4);
        violations.finish(read).map_err(|faults| faults[0].reason)
    };
    assert_eq!(read("해태"), Ok("해태".to_owned()));
    assert_eq!(read("a\nb"), Ok("a\nb".to_owned()));
    assert_eq!(read(""), Err(Reason::FieldMissing));
    for bad in ["a", "해태해태해", "a\0b", "a\u{1b}[m"] {
        assert_eq!(read(bad), Err(Reason::FieldMalformed), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn what_is_finer_than_a_microsecond_is_cut(nanos in 0..1_000_000_000i32) {
        let mut violations = Violations::new();
        let read = read::moment(&mut violations, "at", Some(&prost_types::Timestamp { seconds: 1, nanos })).unwrap();
        prop_assert_eq!(read.unix_timestamp_nanos(), 1_000_000_000 + i128::from(nanos / 1_000 * 1_000));
    }
}
