//! No answer in the time that the exchange declares.

use std::collections::BTreeMap;
use std::sync::{Mutex, Once};

use haetae_wire::connector::v1::{ExchangeUnavailable, ReceiptReceived};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::exchange::Mood;
use crate::police::Case;
use crate::scene::{Scene, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_question_without_an_answer_in_time_is_said_so_once_and_answered_later() {
    let scene = Scene::new().await;
    scene.exchange.feels(Mood::Unavailable);
    let replicas = [scene.replica().await, scene.replica().await];
    let case = Case::new();
    let question = case.question();
    scene.order(&case, &question).await;

    let said = scene.wait_for::<ExchangeUnavailable>("unavailable", 1).await.remove(0);
    assert_eq!((said.exchange.as_str(), said.leg_id, said.revision), ("upbit", question.leg.to_string(), 1));
    let tried = scene.exchange.attempts_at(question.leg);
    scene.attempts_at(question.leg, tried + 5).await;
    scene.exchange.feels(Mood::Answers);
    assert_eq!(scene.receipt_of(question.leg).await.len(), 1);
    assert_eq!(scene.facts::<ExchangeUnavailable>("unavailable").await.len(), 1);
    assert_eq!(replicas[0].status().await.undelivered, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_without_an_answer_in_time_is_a_warning_once_and_no_fact() {
    let warnings = Warnings::heard();
    let scene = Scene::new().await;
    scene.exchange.feels(Mood::Unavailable);
    let _replicas = [scene.replica().await, scene.replica().await];
    let (frozen, released) = (Case::new(), Case::new());
    let orders = [frozen.freeze(1), released.release(2)];
    scene.order(&frozen, &orders[0]).await;
    scene.order(&released, &orders[1]).await;
    let of = |order: &haetae_core::Order| warnings.about(&order.leg.to_string());
    for order in &orders {
        let warning = eventually("a person is asked to call", async || of(order).pop()).await;
        assert!(warning.contains("hotline"), "{warning}");
        let tried = scene.exchange.attempts_at(order.leg);
        scene.attempts_at(order.leg, tried + 5).await;
        assert_eq!(of(order).len(), 1);
    }
    assert_eq!(scene.facts::<ExchangeUnavailable>("unavailable").await, []);

    scene.exchange.feels(Mood::Answers);
    scene.wait_for::<ReceiptReceived>("receipt", 2).await;
}

/// Warnings that name a leg, of all tests in this process.
struct Warnings(Mutex<BTreeMap<String, Vec<String>>>);

static WARNINGS: Warnings = Warnings(Mutex::new(BTreeMap::new()));

impl Warnings {
    fn heard() -> &'static Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| tracing_subscriber::registry().with(Ear.with_filter(LevelFilter::WARN)).init());
        &WARNINGS
    }

    fn about(&self, leg: &str) -> Vec<String> {
        self.0.lock().unwrap().get(leg).cloned().unwrap_or_default()
    }
}

struct Ear;

impl<S: Subscriber> Layer<S> for Ear {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut words = Words::default();
        event.record(&mut words);
        if *event.metadata().level() == Level::WARN && !words.leg.is_empty() {
            WARNINGS.0.lock().unwrap().entry(words.leg).or_default().push(words.message);
        }
    }
}

#[derive(Default)]
struct Words {
    leg: String,
    message: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "leg" => self.leg = format!("{value:?}"),
            "message" => self.message = format!("{value:?}"),
            _ => {}
        }
    }
}
