//! Packs of labels, taken in part by part.

use haetae_core::{Moment, micros};
use haetae_wire::{
    intake::v1::{
        GetLabelsRequest, ImportLabelsResponse, LabelChunk, LabelPackBegun, LabelPackComplete, LabelsReceived,
        ReadRecorded, label_service_server::LabelService,
    },
    tracking::v1::{Attribution, Label, LabelPack},
};
use prost::Message;

use super::scene::*;
use crate::commands::{By, Fault};

const ADDRESSES: [&str; 4] = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
];

fn by() -> By {
    By { actor: "person:knp-su-bin".to_owned(), person: "knp-su-bin".to_owned(), system: "knp-portal".to_owned() }
}

fn head() -> Attribution {
    Attribution {
        label: "Tornado Cash".to_owned(),
        source: "https://treasury.test".to_owned(),
        currency: "ETH".to_owned(),
        ..Attribution::default()
    }
}

fn pack(n: u8, series: &str) -> LabelPack {
    LabelPack {
        pack_id: format!("{n:02x}").repeat(32),
        series: series.to_owned(),
        title: "Sanctions".to_owned(),
        creator: "us".to_owned(),
        says: Some(head()),
        labels: ADDRESSES.len() as u64,
        ..LabelPack::default()
    }
}

fn chunk(after: u64, count: usize) -> LabelChunk {
    let start = usize::try_from(after).unwrap();
    let label = |address: &&str| Label { address: (*address).to_owned(), says: None };
    LabelChunk { after, labels: ADDRESSES[start..start + count].iter().map(label).collect() }
}

impl Scene {
    async fn begin(&self, pack: &LabelPack) -> Result<ImportLabelsResponse, Fault> {
        Ok(self.intake.begin_pack(pack, &by(), micros(Moment::now_utc())).await?.1)
    }

    async fn take(&self, pack: &LabelPack, chunk: &LabelChunk) -> Result<ImportLabelsResponse, Fault> {
        let id = hex_id(&pack.pack_id);
        self.intake.take_labels(id, &head(), chunk, &by(), micros(Moment::now_utc())).await
    }
}

fn hex_id(text: &str) -> [u8; 32] {
    [u8::from_str_radix(&text[..2], 16).unwrap(); 32]
}

#[tokio::test]
async fn a_pack_that_broke_off_goes_on_and_each_of_its_labels_is_one_fact() {
    let scene = Scene::new().await;
    let pack = pack(1, "s");
    assert_eq!(scene.begin(&pack).await.unwrap().received, 0);
    assert_eq!(scene.take(&pack, &chunk(0, 2)).await.unwrap().received, 2);
    // The answer was lost: the same is sent again, and more with it.
    assert_eq!(scene.begin(&pack).await.unwrap().received, 2);
    assert_eq!(scene.take(&pack, &chunk(0, 2)).await.unwrap().received, 2);
    let answer = scene.take(&pack, &chunk(1, 3)).await.unwrap();
    assert_eq!((answer.received, answer.complete, answer.superseded_pack_id.as_str()), (4, true, ""));
    // A whole pack again changes nothing.
    let weight = scene.weight().await;
    assert!(scene.begin(&pack).await.unwrap().complete);
    assert!(scene.take(&pack, &chunk(0, 4)).await.unwrap().complete);
    assert_eq!(scene.weight().await, weight);

    let begun = scene.entries("label-pack").await;
    assert_eq!(begun.len(), 1);
    let begun = LabelPackBegun::decode(begun[0].1.as_slice()).unwrap();
    assert_eq!((begun.pack, begun.person.as_str()), (Some(pack), "knp-su-bin"));
    let received: Vec<_> = scene.entries("labels").await;
    let received: Vec<_> = received.iter().map(|(_, fact)| LabelsReceived::decode(fact.as_slice()).unwrap()).collect();
    let places: Vec<_> = received.iter().map(|fact| (fact.after, fact.labels.len())).collect();
    assert_eq!(places, [(0, 2), (2, 2)]);
    let addresses: Vec<_> = received.iter().flat_map(|fact| &fact.labels).map(|label| label.address.as_str()).collect();
    assert_eq!(addresses, ADDRESSES);
    assert_eq!(scene.entries("label-pack-complete").await.len(), 1);
}

#[tokio::test]
async fn a_newer_version_takes_the_place_of_the_older_one_and_of_no_other_pack() {
    let scene = Scene::new().await;
    for (pack, superseded) in [(pack(1, "s"), None), (pack(2, "t"), None), (pack(3, "s"), Some(pack(1, "s")))] {
        scene.begin(&pack).await.unwrap();
        assert_eq!(scene.take(&pack, &chunk(0, 2)).await.unwrap().superseded_pack_id, "", "not before all have come");
        let answer = scene.take(&pack, &chunk(2, 2)).await.unwrap();
        assert_eq!(answer.superseded_pack_id, superseded.map(|pack| pack.pack_id).unwrap_or_default());
    }
    let facts = scene.entries("label-pack-complete").await;
    let last = LabelPackComplete::decode(facts[2].1.as_slice()).unwrap();
    assert_eq!((last.pack_id, last.superseded_pack_id), (pack(3, "s").pack_id, pack(1, "s").pack_id));
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_with_its_field_and_changes_nothing() {
    let scene = Scene::new().await;
    let pack = pack(1, "s");
    scene.begin(&pack).await.unwrap();
    let weight = scene.weight().await;
    let fields = |fault: Fault| match fault {
        Fault::Invalid(faults) => faults.into_iter().map(|fault| fault.field).collect::<Vec<_>>(),
        other => panic!("{other}"),
    };
    let nameless = LabelPack { title: String::new(), ..self::pack(2, "s") };
    assert_eq!(fields(scene.begin(&nameless).await.unwrap_err()), ["pack.title"]);
    let other = LabelPack { labels: 3, ..pack.clone() };
    assert_eq!(fields(scene.begin(&other).await.unwrap_err()), ["pack.labels"]);
    assert_eq!(fields(scene.take(&pack, &chunk(2, 1)).await.unwrap_err()), ["chunk.after"]);
    let mut bad = chunk(0, 2);
    bad.labels[1].address = "0x12".to_owned();
    assert_eq!(fields(scene.take(&pack, &bad).await.unwrap_err()), ["chunk.labels[1]"]);
    let empty = LabelChunk::default();
    assert_eq!(fields(scene.take(&pack, &empty).await.unwrap_err()), ["chunk.labels"]);
    assert_eq!(scene.weight().await, weight);
}

#[tokio::test]
async fn who_looks_at_an_address_is_recorded_before_it_is_answered() {
    let scene = Scene::new().await;
    let read = GetLabelsRequest { address: ADDRESSES[0].to_owned(), purpose: "case 7".to_owned() };
    // Tracking is down.
    assert_eq!(refused_as(&scene.api.get_labels(JI_WOO.calls(read)).await.unwrap_err()), "PEER_UNREACHABLE");
    let (_, payload) = scene.entries("read").await.pop().unwrap();
    let recorded = ReadRecorded::decode(payload.as_slice()).unwrap();
    assert_eq!((recorded.method.as_str(), recorded.resource.as_str()), ("GetLabels", ADDRESSES[0]));
    let silent = GetLabelsRequest { address: ADDRESSES[0].to_owned(), purpose: String::new() };
    let refused = scene.api.get_labels(JI_WOO.calls(silent)).await.unwrap_err();
    assert_eq!(refused_as(&refused), "PURPOSE_MISSING");
}
