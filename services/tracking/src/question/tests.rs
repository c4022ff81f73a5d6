use haetae_core::{Refusal, RefusalReason, WalletRole};
use uuid::Uuid;

use super::*;
use crate::scene::account;

const PACE: Pace =
    Pace { valid_for: Duration::from_secs(30), first: Duration::from_secs(5), slowest: Duration::from_secs(60) };

fn at(seconds: i64) -> Moment {
    Moment::UNIX_EPOCH + time::Duration::seconds(seconds)
}

/// Asked at second 0, `revisions` times.
fn question(exchange: &str, revisions: u8) -> Question {
    Question {
        leg: LegId(Uuid::from_u128(1)),
        asker: Asker::Watch(WatchId(Uuid::from_u128(7))),
        subject: "watch/7".to_owned(),
        exchange: exchange.parse().unwrap(),
        line: AuthorisationId(Uuid::from_u128(2)),
        target: Target::account(account(1)),
        hop: None,
        orders: (1..=revisions).map(|n| [n; 32]).collect(),
        expires_at: Some(at(30)),
        answer: Answer::Pending,
        answered: 0,
        heard_at: None,
        statement: Vec::new(),
        ask_at: None,
    }
}

fn report(revision: u8, answer: ConfirmationAnswer) -> LegReport {
    LegReport {
        leg: LegId(Uuid::from_u128(1)),
        revision: NonZeroU32::new(u32::from(revision)).unwrap(),
        order_sha256: [revision; 32],
        state: LegState::Answered,
        frozen: None,
        refusal: None,
        confirmation: Some(haetae_core::Confirmation {
            answer,
            as_of: at(0),
            wallets_searched: BTreeSet::from([WalletRole::CustomerDeposit]),
            wallet_role: (answer == ConfirmationAnswer::Held).then_some(WalletRole::CustomerDeposit),
        }),
        holder: None,
    }
}

fn refusal(retry: bool) -> LegReport {
    LegReport {
        state: LegState::Refused,
        refusal: Some(Refusal { reason: RefusalReason::Incomplete, message: "no".to_owned(), retry }),
        confirmation: None,
        ..report(1, ConfirmationAnswer::Unknown)
    }
}

fn hear(question: &mut Question, report: &LegReport, second: i64) -> bool {
    question.hear(report, b"statement", at(second), &PACE)
}

/// Exchanges `a`, `b`, … that gave these answers, in this order.
fn concluded(answers: &[Option<ConfirmationAnswer>]) -> Conclusion {
    let questions: Vec<_> = answers
        .iter()
        .zip('a'..)
        .zip(1..)
        .map(|((answer, name), second)| {
            let mut question = question(&name.to_string(), 1);
            if let Some(answer) = answer {
                assert!(hear(&mut question, &report(1, *answer), second));
            }
            question
        })
        .collect();
    conclude(&questions)
}

#[test]
fn one_that_holds_it_decides_even_while_others_have_not_answered() {
    use ConfirmationAnswer::{Held, NotHeld, Unknown};
    let held = |name: &str| Holder { exchange: name.parse().unwrap(), role: Some(WalletRole::CustomerDeposit) };
    assert_eq!(concluded(&[None, Some(Held)]), Conclusion::Held(held("b")));
    assert_eq!(concluded(&[Some(Unknown), Some(Held)]), Conclusion::Held(held("b")));
    assert_eq!(concluded(&[Some(Held), Some(NotHeld), Some(Held)]), Conclusion::Conflict(held("a")));
}

#[test]
fn only_a_complete_set_of_no_is_a_no() {
    use ConfirmationAnswer::{NotHeld, Unknown};
    assert_eq!(concluded(&[Some(NotHeld), Some(NotHeld)]), Conclusion::NotHeld);
    assert_eq!(concluded(&[Some(NotHeld), None]), Conclusion::Pending);
    assert_eq!(concluded(&[Some(NotHeld), Some(Unknown)]), Conclusion::Open);
    assert_eq!(concluded(&[None, Some(Unknown)]), Conclusion::Open);
    assert_eq!(concluded(&[]), Conclusion::Open, "nobody was asked");
    assert_eq!(Conclusion::Pending.standing(), Standing::Open);
}

#[test]
fn no_answer_in_time_is_open_and_never_a_no() {
    let mut asked = question("a", 1);
    assert!(asked.miss(1, at(2), &PACE));
    assert_eq!(conclude(std::slice::from_ref(&asked)), Conclusion::Open);
    assert_eq!(asked.ask_at, Some(at(30)), "the connector goes on delivering until the order expires");
    assert!(hear(&mut asked, &report(1, ConfirmationAnswer::Held), 3), "a late answer counts");
    assert_eq!(asked.ask_at, None);
    assert!(!asked.miss(1, at(4), &PACE), "an answer is not replaced by having had none");
}

#[test]
fn unknown_is_asked_again_with_growing_waits() {
    for (revisions, wait) in [(1, 5), (2, 10), (3, 20), (5, 60), (20, 60)] {
        let mut asked = question("a", revisions);
        assert!(hear(&mut asked, &report(revisions, ConfirmationAnswer::Unknown), 100));
        assert_eq!(asked.ask_at, Some(at(100 + wait)));
    }
}

#[test]
fn a_refusal_is_asked_again_only_where_that_may_help() {
    let mut asked = question("a", 1);
    assert!(hear(&mut asked, &refusal(false), 1));
    assert_eq!((asked.ask_at, conclude(&[asked.clone()])), (None, Conclusion::Open));
    let mut asked = question("a", 1);
    assert!(hear(&mut asked, &refusal(true), 1));
    assert_eq!(asked.ask_at, Some(at(6)));
}

#[test]
fn an_order_that_expired_undelivered_is_followed_by_the_next() {
    let mut asked = question("a", 2);
    assert!(!asked.expire(1, at(31), &PACE), "not the last");
    assert!(asked.expire(2, at(31), &PACE));
    assert_eq!(asked.ask_at, Some(at(41)));
}

#[test]
fn an_answer_to_another_order_than_those_sent_does_not_count() {
    let mut asked = question("a", 1);
    assert!(!hear(&mut asked, &report(2, ConfirmationAnswer::Held), 1), "no such revision");
    let mut forged = report(1, ConfirmationAnswer::Held);
    forged.order_sha256 = [9; 32];
    assert!(!hear(&mut asked, &forged, 1));
    assert_eq!(asked.answer, Answer::Pending);
}

#[test]
fn who_said_no_may_still_say_yes_and_nobody_takes_back_a_yes() {
    let mut asked = question("a", 1);
    assert!(hear(&mut asked, &report(1, ConfirmationAnswer::NotHeld), 1));
    assert!(!hear(&mut asked, &report(1, ConfirmationAnswer::Unknown), 2));
    assert!(hear(&mut asked, &report(1, ConfirmationAnswer::Held), 3));
    assert!(!hear(&mut asked, &report(1, ConfirmationAnswer::NotHeld), 4));
}

#[test]
fn a_late_unknown_to_an_earlier_order_changes_nothing() {
    let mut asked = question("a", 2);
    assert!(asked.miss(2, at(1), &PACE));
    assert!(!hear(&mut asked, &report(1, ConfirmationAnswer::Unknown), 2));
    assert!(hear(&mut asked, &report(1, ConfirmationAnswer::NotHeld), 3));
}
