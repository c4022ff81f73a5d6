//! Reading a request, without a service around it.

use std::sync::LazyLock;

use haetae_core::{AgencyId, Moment, Violations};
use haetae_seal::dsse::{Algorithm, SigningKey};
use haetae_wire::{
    convert::timestamp,
    intake::v1::{self, request_content::Kind},
    registry::Registry,
};
use proptest::prelude::*;

use super::scene::{COIN, amount, confirm, days, freeze, registry, release, rules, target, under, watch, watch_terms};
use crate::submission::{self, Law};

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| registry(&SigningKey::generate(Algorithm::Ed25519)));

/// The fields at fault for an agency, now.
fn faults(agency: &str, content: &v1::RequestContent) -> Vec<String> {
    let agency: AgencyId = agency.parse().unwrap();
    let law = Law { rules: &rules(), agency: &agency, now: Moment::now_utc() };
    let mut v = Violations::new();
    let read = submission::under(law, Some(content), &REGISTRY, &mut v);
    v.finish(read).err().unwrap_or_default().into_iter().map(|fault| fault.field).collect()
}

#[test]
fn the_rules_that_ship_are_in_order_and_the_supervisor_never_freezes() {
    for content in [confirm(), watch(), freeze()] {
        assert_eq!(faults("knp", &content), Vec::<String>::new());
    }
    let asking = v1::RequestContent { legal_basis: "information-request".to_owned(), document: None, ..confirm() };
    assert_eq!(faults("fss", &asking), Vec::<String>::new());
    for basis in ["warrant", "information-request", "telecom-fraud-refund"] {
        let freezing = v1::RequestContent { legal_basis: basis.to_owned(), ..freeze() };
        assert!(faults("fss", &freezing).contains(&"content.legal_basis".to_owned()), "{basis}");
    }
}

#[test]
fn a_watch_that_freezes_needs_a_basis_that_allows_both() {
    let content = v1::RequestContent {
        legal_basis: "information-request".to_owned(),
        ..under("", Kind::Watch(v1::Watch { period: days(6), ..watch_terms() }))
    };
    assert!(faults("knp", &content).contains(&"content.legal_basis".to_owned()));
    let watching = v1::Watch { standing_freeze: None, ..watch_terms() };
    let content = v1::RequestContent { kind: Some(Kind::Watch(watching)), ..content };
    assert_eq!(faults("knp", &content), Vec::<String>::new());
}

#[test]
fn a_watch_begins_in_the_past_as_far_as_its_basis_reaches() {
    let beginning = |hours: i64, basis: &str| {
        let since = timestamp(Moment::now_utc() - time::Duration::hours(hours));
        let start = Some(v1::watch::Start::Since(since));
        let terms = v1::Watch { period: days(6), standing_freeze: None, start, ..watch_terms() };
        faults("knp", &under(basis, Kind::Watch(terms)))
    };
    assert_eq!(beginning(700, "warrant"), Vec::<String>::new());
    assert_eq!(beginning(721, "warrant"), ["content.watch.since"]);
    assert!(beginning(169, "information-request").contains(&"content.watch.since".to_owned()));
}

#[test]
fn what_was_read_is_read_back_from_its_one_spelling() {
    let frozen_by = "6f0c7f6e-8d4f-4c86-9c53-5c0b4c1f7c11";
    for content in [confirm(), watch(), freeze(), release(frozen_by, &[frozen_by.to_owned()])] {
        let read = submission::parse(Some(&content), Some(&REGISTRY)).unwrap();
        let written = v1::RequestContent::from(&read);
        assert_eq!(submission::parse(Some(&written), None).unwrap(), read);
    }
}

proptest! {
    #[test]
    fn two_requests_have_one_fingerprint_only_if_they_ask_the_same(one in 1u32..5, other in 1u32..5, order: bool) {
        let of = |stolen: u32, turned: bool| {
            let token = "eip155:31337/erc20:0xdAC17F958D2ee523a2206206994597C13D831ec7";
            let mut amounts = vec![amount(COIN, &stolen.to_string()), amount(token, "7")];
            if turned {
                amounts.reverse();
            }
            let mut content = watch();
            content.document = None;
            content.kind = Some(Kind::Watch(v1::Watch { stolen: amounts, standing_freeze: None, ..watch_terms() }));
            submission::parse(Some(&content), None).unwrap().fingerprint()
        };
        prop_assert_eq!(of(one, false) == of(other, order), one == other);
    }

    #[test]
    fn no_content_makes_reading_panic(
        account: String, asset: String, cap: String, seconds: i64, nanos: i32, exchange: String, case: String,
    ) {
        let period = Some(prost_types::Duration { seconds, nanos });
        let mut content = under("warrant", Kind::Watch(v1::Watch {
            root: target(&account),
            stolen: vec![amount(&asset, &cap)],
            period,
            standing_freeze: Some(v1::StandingFreezeTerms {
                caps: vec![amount(COIN, &cap)], freeze_period: period, ..v1::StandingFreezeTerms::default()
            }),
            ..v1::Watch::default()
        }));
        content.exchanges = vec![exchange];
        content.case_number = case;
        faults("knp", &content);
    }
}
