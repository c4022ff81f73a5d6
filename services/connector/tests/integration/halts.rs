//! A halt holds back freezes, and nothing else.

use haetae_core::LegId;

use crate::police::Case;
use crate::scene::{Scene, eventually};

async fn sent_before(scene: &Scene, leg: LegId) {
    // What the log says later is taken in later: by then the freeze would have been sent too.
    let later = Case::numbered("2026-9");
    let (release, question) = (later.release(1), later.question());
    scene.order(&later, &release).await;
    scene.order(&later, &question).await;
    scene.receipt_of(release.leg).await;
    scene.receipt_of(question.leg).await;
    assert_eq!(scene.exchange.attempts_at(leg), 0, "a freeze under a halt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halt_of_everything_holds_back_freezes_but_no_release_and_no_question() {
    let scene = Scene::new().await;
    let replica = scene.replica().await;
    scene.halt(None).await;
    let case = Case::new();
    let freeze = case.freeze(1);
    scene.order(&case, &freeze).await;
    sent_before(&scene, freeze.leg).await;
    sent_before(&scene, freeze.leg).await;
    assert_eq!(replica.status().await.undelivered, 1);

    scene.resume(None).await;
    scene.receipt_of(freeze.leg).await;
    eventually("nothing is owed", async || (replica.status().await.undelivered == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halt_of_one_case_holds_back_the_freezes_of_that_case() {
    let scene = Scene::new().await;
    let _replica = scene.replica().await;
    let (halted, other) = (Case::numbered("2026-1"), Case::numbered("2026-2"));
    scene.halt(Some(&halted.reference())).await;
    let (held, sent) = (halted.freeze(1), other.freeze(1));
    scene.order(&halted, &held).await;
    scene.order(&other, &sent).await;
    scene.receipt_of(sent.leg).await;
    sent_before(&scene, held.leg).await;

    // To resume everything is not to resume this case.
    scene.halt(None).await;
    scene.resume(None).await;
    sent_before(&scene, held.leg).await;
    scene.resume(Some(&halted.reference())).await;
    scene.receipt_of(held.leg).await;
}
