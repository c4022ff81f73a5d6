//! Said once, heard once, and again and again where nobody answers.

use std::time::Duration;

use haetae_testkit::proxy::Mode;
use haetae_wire::connector::v1::{OrderUndelivered, ReceiptReceived};
use haetae_wire::signed::order_identity;
use prost::Message;
use serde_json::json;

use crate::exchange::Mood;
use crate::police::Case;
use crate::scene::{Scene, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_delivered_once_with_its_proof_and_its_receipt_is_stored_as_it_came() {
    let scene = Scene::new().await;
    let replica = scene.replica().await;
    let (asked, frozen) = (Case::new(), Case::new());
    let question = scene.order(&asked, &asked.question()).await;
    let freeze = scene.order(&frozen, &frozen.freeze(1)).await;
    let receipts = scene.wait_for::<ReceiptReceived>("receipt", 2).await;

    // The exchange takes in only what `open_signed_order` opens: signatures, authority, proof, time.
    for envelope in [&question, &freeze] {
        let identity = order_identity(envelope);
        let of_order: Vec<_> = receipts.iter().filter(|fact| fact.order_sha256 == identity).collect();
        assert_eq!(of_order.len(), 1);
        assert_eq!(of_order[0].receipt, scene.exchange.book().receipts[&identity], "as it came");
        assert_eq!((of_order[0].exchange.as_str(), of_order[0].revision), ("upbit", 1));
        let submitted = scene.exchange.book().submitted.iter().filter(|s| s.order.envelope == *envelope).count();
        assert_eq!(submitted, 1);
    }
    let status = replica.status().await;
    assert!(status.reachable && status.last_answer.is_some());
    assert_eq!((status.undelivered, status.oldest_undelivered), (0, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_is_unknown_not_failed_so_the_same_bytes_are_sent_again() {
    let scene = Scene::with(json!({"attempt_ms": 300})).await;
    scene.exchange.feels(Mood::Silent);
    let _replica = scene.replica().await;
    let case = Case::new();
    let order = case.freeze(1);
    scene.order(&case, &order).await;
    scene.attempts_at(order.leg, 2).await;
    assert_eq!(scene.facts::<ReceiptReceived>("receipt").await, []);
    scene.exchange.feels(Mood::Answers);

    let receipts = scene.receipt_of(order.leg).await;
    assert_eq!(receipts.len(), 1);
    let book = scene.exchange.book();
    assert_eq!(receipts[0].receipt, *book.receipts.values().next().unwrap(), "of what was taken in the first time");
    let sent: Vec<Vec<u8>> = book.submitted.iter().map(|submitted| submitted.order.encode_to_vec()).collect();
    assert!(sent.len() >= 3 && sent.iter().all(|bytes| *bytes == sent[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_cannot_answer_is_tried_again_more_and_more_slowly() {
    let scene = Scene::with(json!({"first_wait_ms": 50, "slowest_wait_ms": 60_000})).await;
    scene.exchange.feels(Mood::Unavailable);
    let replica = scene.replica().await;
    let case = Case::new();
    let order = case.freeze(1);
    scene.order(&case, &order).await;
    scene.attempts_at(order.leg, 7).await;
    {
        let book = scene.exchange.book();
        let gap = |n: usize| book.submitted[n + 1].at - book.submitted[n].at;
        assert!(gap(3) >= Duration::from_millis(200), "half of what doubling thrice gives: {:?}", gap(3));
        assert!(gap(5) >= Duration::from_millis(800), "half of what doubling five times gives: {:?}", gap(5));
        assert!(gap(5) > gap(0));
    }
    let status = replica.status().await;
    assert_eq!((status.undelivered, status.last_answer), (1, None));
    assert!(status.oldest_undelivered.is_some_and(|age| age.seconds >= 1), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_during_an_outage_is_sent_at_once_when_the_exchange_is_back() {
    // Left to itself, no order would be tried again before the test ends.
    let settings = json!({"first_wait_ms": 120_000, "slowest_wait_ms": 120_000, "circuit_failures": 3});
    let scene = Scene::with(settings).await;
    scene.line.set(Mode::Refuse).await.unwrap();
    let replica = scene.replica().await;
    let cases: Vec<Case> = (0..5).map(|_| Case::new()).collect();
    for case in &cases {
        scene.order(case, &case.freeze(1)).await;
    }
    let status = eventually("the exchange counts as down", async || {
        Some(replica.status().await).filter(|status| !status.reachable && status.undelivered == 5)
    });
    assert!(status.await.oldest_undelivered.is_some());

    scene.line.set(Mode::Pass).await.unwrap();
    let probe = Case::new();
    scene.order(&probe, &probe.question()).await;
    scene.wait_for::<ReceiptReceived>("receipt", 6).await;
    let status = replica.status().await;
    assert!(status.reachable);
    assert_eq!(status.undelivered, 0);
    assert_eq!(scene.exchange.book().submitted.len(), 6, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_questions_that_wait_the_newest_is_asked_first_and_of_freezes_the_oldest() {
    let scene = Scene::with(json!({"attempt_ms": 2_000, "max_in_flight": 1, "first_wait_ms": 60_000})).await;
    scene.exchange.feels(Mood::Silent);
    let _replica = scene.replica().await;
    let first = Case::new();
    scene.order(&first, &first.question()).await;
    scene.attempts_at(first.question().leg, 1).await;
    // The line is taken. What comes now waits for it.
    let asked: Vec<Case> = (0..4).map(|_| Case::new()).collect();
    let frozen: Vec<Case> = (0..3).map(|_| Case::new()).collect();
    for case in &asked {
        scene.order(case, &case.question()).await;
    }
    for case in &frozen {
        scene.order(case, &case.freeze(1)).await;
    }
    eventually("all wait", async || (scene.queued().await.len() == 8).then_some(())).await;
    scene.exchange.feels(Mood::Answers);
    scene.wait_for::<ReceiptReceived>("receipt", 7).await;

    let book = scene.exchange.book();
    let sent =
        book.submitted.iter().map(|submitted| submitted.opened.order.leg).filter(|leg| *leg != first.question().leg);
    let freezes = frozen.iter().map(|case| case.freeze(1).leg);
    let questions = asked.iter().rev().map(|case| case.question().leg);
    assert_eq!(sent.collect::<Vec<_>>(), freezes.chain(questions).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_nothing_is_sent_to_does_not_count_as_down() {
    let scene = Scene::with(json!({"first_wait_ms": 50, "circuit_failures": 3})).await;
    scene.line.set(Mode::Refuse).await.unwrap();
    let replica = scene.replica().await;
    let unasked = replica.status().await;
    assert!(unasked.reachable && unasked.last_answer.is_none(), "never asked: {unasked:?}");

    let case = Case::new();
    scene.order(&case, &case.freeze(1)).await;
    eventually("it counts as down", async || (!replica.status().await.reachable).then_some(())).await;
    scene.halt(None).await;
    eventually("nothing probes it, and nothing says so", async || replica.status().await.reachable.then_some(())).await;
    scene.resume(None).await;
    eventually("it counts as down again", async || (!replica.status().await.reachable).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_higher_revision_takes_the_place_of_a_lower_one_that_waits() {
    let scene = Scene::new().await;
    scene.exchange.feels(Mood::Unavailable);
    let replica = scene.replica().await;
    let case = Case::new();
    let (lower, higher) = (case.freeze(1), case.release(2));
    scene.order(&case, &lower).await;
    scene.attempts_at(lower.leg, 1).await;
    scene.order(&case, &higher).await;
    let revision_of_last = || scene.exchange.book().submitted.last().unwrap().opened.order.revision;
    eventually("the higher is tried", async || (revision_of_last() == higher.revision).then_some(())).await;
    assert_eq!(replica.status().await.undelivered, 1, "the lower is not owed any more");

    scene.exchange.feels(Mood::Answers);
    let receipts = scene.receipt_of(higher.leg).await;
    assert_eq!(receipts.iter().map(|receipt| receipt.revision).collect::<Vec<_>>(), [2]);
    assert_eq!(scene.exchange.book().receipts.len(), 1, "the exchange took nothing else in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_revision_that_comes_late_is_not_sent() {
    let scene = Scene::new().await;
    let replica = scene.replica().await;
    let (case, after) = (Case::new(), Case::new());
    scene.order(&case, &case.release(2)).await;
    scene.order(&case, &case.freeze(1)).await;
    let after_it = after.freeze(1);
    scene.order(&after, &after_it).await;
    scene.receipt_of(after_it.leg).await;
    assert_eq!(scene.receipt_of(case.release(2).leg).await.len(), 1);
    assert_eq!(replica.status().await.undelivered, 0);
    let unsent = scene.wait_for::<OrderUndelivered>("undelivered", 1).await;
    let unsent: Vec<_> = unsent.iter().map(|fact| (fact.leg_id.clone(), fact.revision)).collect();
    assert_eq!(unsent, [(case.release(2).leg.to_string(), 1)]);
    let book = scene.exchange.book();
    let of_leg = book.submitted.iter().filter(|submitted| submitted.opened.order.leg == case.release(2).leg);
    assert_eq!(of_leg.map(|submitted| submitted.opened.order.revision.get()).collect::<Vec<_>>(), [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_order_that_was_overtaken_before_it_was_sent_it_is_said_that_the_exchange_never_saw_it() {
    let scene = Scene::new().await;
    // Nothing is sent of a case that is halted.
    let case = Case::new();
    let _replica = scene.replica().await;
    scene.halt(None).await;
    let (first, second) = (case.freeze(1), case.freeze(2));
    scene.order(&case, &first).await;
    eventually("it waits", async || (scene.queued().await.len() == 1).then_some(())).await;
    scene.order(&case, &second).await;
    let unsent = scene.wait_for::<OrderUndelivered>("undelivered", 1).await;
    assert_eq!((unsent[0].leg_id.clone(), unsent[0].revision), (first.leg.to_string(), 1));
    scene.resume(None).await;
    scene.receipt_of(second.leg).await;
    let sent: Vec<u32> = scene.exchange.book().submitted.iter().map(|s| s.opened.order.revision.get()).collect();
    assert_eq!((sent, scene.facts::<OrderUndelivered>("undelivered").await.len()), (vec![2], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_order_under_the_same_revision_is_set_aside_for_an_operator() {
    let scene = Scene::new().await;
    let _replica = scene.replica().await;
    let case = Case::new();
    let order = case.freeze(1);
    let first = scene.order(&case, &order).await;
    scene.receipt_of(order.leg).await;
    let second = scene.order(&case, &order).await;
    assert_ne!(first, second, "each with an authorisation of its own");
    scene.parked(1).await;
    assert_eq!(scene.exchange.attempts_at(order.leg), 1);
}
