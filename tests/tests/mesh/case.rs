//! The case is played to its end whatever breaks on the way.

use haetae_tests::{
    Options, Replicas,
    case::{Disturbance, Outcome, Silence, play},
};

use crate::{alone, haetae};

async fn played(options: Options, disturbance: Disturbance) -> Outcome {
    let mut alone = alone(Options { bitcoin: true, ..options }).await;
    let picture = tempfile::Builder::new().suffix(".svg").tempfile().unwrap();
    let outcome = play(&mut alone.mesh, &mut Silence, &disturbance, &haetae(), Some(picture.path())).await.unwrap();
    let picture = std::fs::read_to_string(picture.path()).unwrap();
    // Both chains, both exchanges, and what became of the money there.
    for shown in ["<svg", "eip155:", "bip122:", "upbit · customer deposit", "bithumb · customer deposit", ">FROZEN "]
    {
        assert!(picture.contains(shown), "{shown} is not in the case's picture");
    }
    assert_eq!(picture.matches("leg: ").count(), outcome.legs_frozen, "every leg is marked");
    // Six arrivals, six legs, and no seventh: nothing is frozen twice.
    assert_eq!((outcome.arrivals, outcome.legs_frozen), (6, 6));
    assert_eq!((outcome.withdrawals_refused, outcome.bystanders_unharmed), (6, 3));
    assert_eq!((outcome.chains.len(), outcome.reorg_retracted), (2, 1));
    assert!(outcome.ok && outcome.evidence_verified);
    outcome
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_of_each_service_and_redis_stopped_in_the_middle() {
    let options = Options { replicas: Replicas::Two, ..Options::default() };
    played(options, Disturbance::RedisStops).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_process_killed_once_in_the_middle() {
    let killed = ["intake", "tracking", "freeze", "connector-upbit", "sandbox-upbit"];
    played(Options::default(), Disturbance::Kill(killed.map(str::to_owned).to_vec())).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: a whole case for each kind of process"]
async fn any_one_process_killed_in_the_middle() {
    for killed in ["intake", "tracking", "freeze", "connector-bithumb", "sandbox-bithumb"] {
        played(Options::default(), Disturbance::Kill(vec![killed.to_owned()])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: a whole case"]
async fn without_redis_from_the_beginning() {
    let outcome = played(Options { redis: false, ..Options::default() }, Disturbance::None).await;
    assert!(!outcome.redis);
}
