use proptest::prelude::*;
use time::macros::datetime;

use super::*;

const NOW: Moment = datetime!(2026-03-02 09:00 UTC);

const RULES: &str = r#"
[basis.warrant]
citation = "Criminal Procedure Act art. 215"
document_required = true
approve_within_hours = 24
question_hours = 72
max_watch_days = 30
max_look_back_hours = 48
max_freeze_days = 10

[basis.warrant.limits]
max_hops = 10
max_addresses = 100
max_questions = 50
max_degree = 500
max_legs_per_hour = 5
max_holders = 3

[basis.warrant.caps]
"eip155:1/slip44:60" = "1000"
"eip155:1" = "100"
"*" = "10"

[basis.warrant.agencies.knp]
confirm-address = 0
watch = 1
standing-freeze = 2
freeze = 1
release = 1
"#;

fn rules() -> LegalRules {
    LegalRules::parse(RULES).unwrap()
}

fn knp() -> AgencyId {
    "knp".parse().unwrap()
}

fn document(issued_at: Moment, valid_until: Moment) -> Document {
    Document { number: "2026-1".into(), issuer: "court".into(), issued_at, valid_until, sha256: [1; 32] }
}

/// The faults of the rules with one piece of text exchanged for another.
fn faults_with(old: &str, new: &str) -> Vec<String> {
    assert!(RULES.contains(old));
    LegalRules::parse(&RULES.replace(old, new)).unwrap_err()
}

#[test]
fn a_basis_that_the_rules_do_not_have_is_unknown() {
    assert_eq!(rules().basis("habit").unwrap_err(), NotAllowed::UnknownBasis);
}

#[test]
fn a_kind_is_allowed_to_the_agencies_listed_and_no_others() {
    let rules = rules();
    let warrant = rules.basis("warrant").unwrap();
    assert_eq!(warrant.approvals(&knp(), RequestKind::StandingFreeze), Ok(2));
    assert_eq!(warrant.approvals(&knp(), RequestKind::Halt), Err(NotAllowed::Kind(RequestKind::Halt)));
    let fss = "fss".parse().unwrap();
    assert_eq!(warrant.approvals(&fss, RequestKind::Watch), Err(NotAllowed::Kind(RequestKind::Watch)));
}

#[test]
fn a_required_document_must_be_there_and_valid_now() {
    let rules = rules();
    let warrant = rules.basis("warrant").unwrap();
    let (past, future) = (NOW - Duration::DAY, NOW + Duration::DAY);
    for (document, verdict) in [
        (None, Err(NotAllowed::DocumentMissing)),
        (Some(document(past, future)), Ok(())),
        (Some(document(past, NOW)), Err(NotAllowed::DocumentExpired)),
        (Some(document(future, future)), Err(NotAllowed::DocumentNotYet)),
    ] {
        assert_eq!(warrant.document(RequestKind::Freeze, document.as_ref(), NOW), verdict);
    }
}

#[test]
fn a_watch_begins_in_the_past_only_as_far_as_its_basis_reaches() {
    let rules = rules();
    let warrant = rules.basis("warrant").unwrap();
    assert_eq!(warrant.look_back(Duration::hours(48)), Ok(Duration::hours(48)));
    assert_eq!(warrant.look_back(Duration::hours(49)), Err(NotAllowed::Period(Duration::hours(48))));
    assert_eq!(warrant.not_before(NOW), Some(NOW - Duration::hours(48)));
    let silent = LegalRules::parse(&RULES.replace("max_look_back_hours = 48\n", "")).unwrap();
    let silent = silent.basis("warrant").unwrap();
    assert_eq!(silent.look_back(Duration::ZERO), Err(NotAllowed::NoPeriod));
    assert_eq!(silent.not_before(NOW), None);
}

#[test]
fn a_release_outlives_the_warrant() {
    let rules = rules();
    let warrant = rules.basis("warrant").unwrap();
    let over = document(NOW - Duration::WEEK, NOW - Duration::DAY);
    assert_eq!(warrant.document(RequestKind::Release, Some(&over), NOW), Ok(()));
    assert_eq!(warrant.document(RequestKind::Release, None, NOW), Ok(()));
}

#[test]
fn the_cap_of_the_asset_goes_before_that_of_its_chain_and_that_before_the_rest() {
    let rules = rules();
    let warrant = rules.basis("warrant").unwrap();
    for (asset, most) in [
        ("eip155:1/slip44:60", 1000u64),
        ("eip155:1/erc20:0xdac17f958d2ee523a2206206994597c13d831ec7", 100),
        ("eip155:56/slip44:60", 10),
    ] {
        let asset = asset.parse().unwrap();
        assert_eq!(warrant.cap(&asset, Amount::from(most)), Ok(()));
        assert_eq!(warrant.cap(&asset, Amount::from(most + 1)), Err(NotAllowed::Cap(Amount::from(most))));
    }
}

#[test]
fn no_rules_can_let_one_person_alone_freeze_or_resume() {
    let faults = faults_with("freeze = 1\nrelease = 1", "freeze = 0\nrelease = 0\nresume = 0\nwatch-me = 1");
    for key in ["knp.freeze", "knp.release", "knp.resume", "knp.watch-me"] {
        assert!(faults.iter().any(|fault| fault.contains(key)), "{key}: {faults:?}");
    }
}

#[test]
fn every_fault_of_the_rules_is_told_at_once() {
    let broken = RULES
        .replace("citation = \"Criminal Procedure Act art. 215\"", "citation = \" \"")
        .replace("max_freeze_days = 10\n", "")
        .replace("\"*\" = \"10\"", "\"*\" = \"-1\"")
        + "\n[basis.other]\ncitation = \"x\"\n[extra]\n";
    let faults = LegalRules::parse(&broken).unwrap_err();
    for key in ["basis.warrant.citation", "basis.warrant.max_freeze_days", "caps.\"*\"", "basis.other", "extra"] {
        assert!(faults.iter().any(|fault| fault.contains(key)), "{key}: {faults:?}");
    }
}

#[test]
fn a_key_that_nobody_reads_is_a_fault() {
    let faults = faults_with("max_watch_days = 30", "max_watch_days = 30\nmax_watch_weeks = 3");
    assert!(faults.iter().any(|fault| fault.contains("max_watch_weeks")), "{faults:?}");
}

proptest! {
    #[test]
    fn a_limit_is_never_wider_than_the_basis_has_it(asked: u32) {
        let rules = rules();
        match rules.basis("warrant").unwrap().limit(|limits| limits.max_hops, asked) {
            Ok(granted) => prop_assert!((1..=10).contains(&granted) && (asked == 0 || granted == asked)),
            Err(fault) => prop_assert!(fault == NotAllowed::Limit(10) && asked > 10),
        }
    }

    #[test]
    fn a_period_is_granted_as_asked_or_not_at_all(seconds in 1i64..10_000_000) {
        let rules = rules();
        let asked = Duration::seconds(seconds);
        match rules.basis("warrant").unwrap().freeze_period(asked) {
            Ok(granted) => prop_assert!(granted == asked && asked <= Duration::days(10)),
            Err(fault) => prop_assert!(fault == NotAllowed::Period(Duration::days(10)) && asked > Duration::days(10)),
        }
    }

    #[test]
    fn no_text_makes_reading_panic(text: String) {
        let _ = LegalRules::parse(&text);
    }
}
