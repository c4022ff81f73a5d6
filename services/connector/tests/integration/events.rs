//! The exchange's own log, brought over.

use haetae_wire::connector::v1::{EventReceived, ExchangeLogAnew, InvalidStatement};

use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn events_are_stored_once_and_in_order_across_a_reconnect_and_by_two_replicas() {
    let scene = Scene::new().await;
    let replicas = [scene.replica().await, scene.replica().await];
    let mut written: Vec<Vec<u8>> = (1..=5).map(|sequence| scene.exchange.logs(sequence)).collect();
    assert_eq!(scene.events(5).await, written);

    scene.line.cut().await.unwrap();
    written.extend((6..=10).map(|sequence| scene.exchange.logs(sequence)));
    assert_eq!(scene.events(10).await, written);
    assert!(replicas[0].status().await.last_answer.is_some());

    let [_alive, dead] = replicas;
    dead.dies().await;
    written.extend((11..=12).map(|sequence| scene.exchange.logs(sequence)));
    assert_eq!(scene.events(12).await, written);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_with_a_bad_signature_is_a_fact_once_and_nothing_is_read_past_it() {
    let scene = Scene::new().await;
    let good = scene.exchange.logs(1);
    scene.exchange.logs_forgery(2);
    let after = scene.exchange.logs(3);
    let _replicas = [scene.replica().await, scene.replica().await];
    let said = scene.wait_for::<InvalidStatement>("invalid-statement", 1).await;
    assert_eq!((said[0].fault.as_str(), said[0].leg_id.as_str()), ("SIGNATURE_INVALID", ""));
    scene.asked_for_its_log(4).await;
    assert_eq!(scene.facts::<InvalidStatement>("invalid-statement").await.len(), 1);
    assert_eq!(scene.events(1).await, std::slice::from_ref(&good));

    let mended = scene.exchange.logs(2);
    assert_eq!(scene.events(3).await, [good, mended, after]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_begun_anew_is_read_from_its_beginning_and_said_to_be() {
    let scene = Scene::new().await;
    let _replica = scene.replica().await;
    let mut written: Vec<Vec<u8>> = (1..=3).map(|sequence| scene.exchange.logs(sequence)).collect();
    scene.events(3).await;
    // Another log, then the same restored from a backup.
    for (log_id, epoch) in [("b", 1), ("b", 2)] {
        scene.exchange.begins_anew(log_id, epoch);
        written.extend((1..=2).map(|sequence| scene.exchange.logs(sequence)));
        assert_eq!(scene.events(written.len()).await, written);
    }
    let anew = scene.facts::<ExchangeLogAnew>("exchange-log-anew").await;
    let anew: Vec<_> = anew.iter().map(|fact| (fact.log_id.as_str(), fact.epoch)).collect();
    assert_eq!(anew, [("b", 1), ("b", 2)], "the first log that is read is none");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_not_jumped() {
    let scene = Scene::new().await;
    let _replica = scene.replica().await;
    let first = scene.exchange.logs(1);
    let third = scene.exchange.logs(3);
    scene.events(1).await;
    scene.asked_for_its_log(2).await;
    assert_eq!(scene.facts::<EventReceived>("event").await.len(), 1);
    let second = scene.exchange.logs(2);
    assert_eq!(scene.events(3).await, [first, second, third]);
}
