//! Packs of labels, in and out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{Stream, StreamExt, stream::BoxStream};
use haetae_wire::{
    intake::v1::{
        import_labels_request::Part,
        label_service_server::{LabelService, LabelServiceServer},
        *,
    },
    tracking::v1::{Attribution, KnownLabel, KnownPack, Label, LabelPack},
};
use tonic::{Request as Asked, Response, Status, Streaming, async_trait};

use crate::world::{Running, World, run};

const PACK: &str = "\
title: Test pack
creator: us
source: https://labels.test
currency: ETH
category: mixing_service
confidence: forensic
colour: red
tags:
- address: '0x52908400098527886E0F7030069857D2E4169EE7'
  label: one
- address: '0x8617E340B3D01FA5F11F306F4090FD50E238070D'
  label: two
- address: '0x12'
  label: no address
";

/// Intake's door for labels, as far as the test needs it.
#[derive(Clone, Default)]
struct Door(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    packs: BTreeMap<String, (LabelPack, Vec<Label>)>,
    /// Parts received, the head not counted.
    parts: usize,
    /// After how many of them the line breaks; once.
    breaks_after: Option<usize>,
    purposes: Vec<String>,
}

impl Door {
    fn with<T>(&self, look: impl FnOnce(&mut Book) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn opened(&self) -> (World, Running) {
        let world = World::new();
        let running = Running::start(world.server().add(LabelServiceServer::new(self.clone()))).await;
        world.profile(running.at, "", "");
        (world, running)
    }

    fn take(&self, begun: &mut Option<String>, part: Part) -> Result<ImportLabelsResponse, Status> {
        self.with(|book| {
            let (pack_id, chunk) = match part {
                Part::Pack(pack) => {
                    let id = pack.pack_id.clone();
                    book.packs.entry(id.clone()).or_insert((pack, Vec::new()));
                    *begun = Some(id.clone());
                    (id, None)
                }
                Part::Chunk(chunk) => (begun.clone().unwrap(), Some(chunk)),
            };
            if chunk.is_some() {
                book.parts += 1;
                if book.breaks_after.take_if(|parts| *parts < book.parts).is_some() {
                    return Err(Status::unavailable("the replica goes down"));
                }
            }
            let (pack, labels) = book.packs.get_mut(&pack_id).unwrap();
            if let Some(chunk) = chunk {
                assert_eq!(chunk.after, labels.len() as u64);
                labels.extend(chunk.labels);
            }
            let received = labels.len() as u64;
            let complete = received == pack.labels;
            Ok(ImportLabelsResponse { pack_id, received, complete, superseded_pack_id: String::new() })
        })
    }
}

#[async_trait]
impl LabelService for Door {
    type ImportLabelsStream = BoxStream<'static, Result<ImportLabelsResponse, Status>>;

    async fn import_labels(
        &self,
        asked: Asked<Streaming<ImportLabelsRequest>>,
    ) -> Result<Response<Self::ImportLabelsStream>, Status> {
        let (door, parts) = (self.clone(), asked.into_inner());
        let answers = answers(door, parts);
        Ok(Response::new(answers.boxed()))
    }

    async fn get_labels(&self, asked: Asked<GetLabelsRequest>) -> Result<Response<GetLabelsResponse>, Status> {
        self.with(|book| book.purposes.push(asked.into_inner().purpose));
        let says = Attribution { label: "one".into(), confidence: "forensic".into(), ..Attribution::default() };
        let label = KnownLabel { says: Some(says), confidence: 50, title: "Test pack".into(), ..KnownLabel::default() };
        Ok(Response::new(GetLabelsResponse { labels: vec![label] }))
    }

    async fn list_label_packs(
        &self,
        _: Asked<ListLabelPacksRequest>,
    ) -> Result<Response<ListLabelPacksResponse>, Status> {
        let packs = self.with(|book| book.packs.values().map(|(pack, labels)| known(pack, labels)).collect());
        Ok(Response::new(ListLabelPacksResponse { packs }))
    }

    async fn list_labels(&self, asked: Asked<ListLabelsRequest>) -> Result<Response<ListLabelsResponse>, Status> {
        let asked = asked.into_inner();
        let (pack, labels) = self.with(|book| book.packs[&asked.pack_id].clone());
        // One at a time.
        let page = labels.iter().skip(usize::try_from(asked.after).unwrap()).take(1).cloned().collect();
        Ok(Response::new(ListLabelsResponse { pack: Some(known(&pack, &labels)), labels: page }))
    }
}

fn answers(
    door: Door,
    parts: Streaming<ImportLabelsRequest>,
) -> impl Stream<Item = Result<ImportLabelsResponse, Status>> + Send {
    futures::stream::unfold((door, parts, None), |(door, mut parts, mut begun)| async move {
        let part = match parts.message().await {
            Ok(part) => part?.part.unwrap(),
            Err(status) => return Some((Err(status), (door, parts, begun))),
        };
        let answer = door.take(&mut begun, part);
        Some((answer, (door, parts, begun)))
    })
}

fn known(pack: &LabelPack, labels: &[Label]) -> KnownPack {
    let received = labels.len() as u64;
    let complete_at = (received == pack.labels).then(prost_types::Timestamp::default);
    KnownPack { pack: Some(pack.clone()), received, complete_at, ..KnownPack::default() }
}

#[tokio::test]
async fn a_pack_is_imported_its_bad_tags_are_named_and_what_is_exported_reads_as_the_same() {
    let door = Door::default();
    let (world, _running) = door.opened().await;
    world.write("pack.yaml", PACK);
    let file = world.path("pack.yaml");
    let file = file.to_str().unwrap();
    let ran = world.haetae(&["labels", "import", file]).await;
    assert_eq!(ran.code(), 1, "a tag could not be taken: {ran:?}");
    assert!(ran.out().contains("“Test pack”, 2 labels"), "{ran:?}");
    assert!(ran.out().contains("not taken: line 13: its address"), "{ran:?}");
    assert!(ran.out().contains("fields passed over: colour (1)"), "{ran:?}");
    assert!(ran.err().contains("1 tag could not be taken"), "{ran:?}");

    let again = world.haetae(&["labels", "import", file, "--json"]).await.json();
    assert_eq!(again["packs"][0]["received_before"], "2");
    assert_eq!(again["packs"][0]["refused"][0]["line"], 13);
    assert_eq!(door.with(|book| book.parts), 1, "nothing was sent twice");

    let list = world.haetae(&["labels", "list"]).await;
    assert!(list.code() == 0 && list.out().contains("counts") && list.out().contains("1 not taken"), "{list:?}");
    let out = world.path("out.yaml");
    let id = again["packs"][0]["pack_id"].as_str().unwrap().to_owned();
    let ran = world.haetae(&["labels", "export", "--pack", &id[..8], "--out", out.to_str().unwrap()]).await;
    assert_eq!(ran.code(), 0, "{ran:?}");
    let read = run(None, &["labels", "check", "--json", out.to_str().unwrap()]).await;
    assert_eq!(read.code(), 0, "{read:?}");
    let (before, after) = (&again["packs"][0], &read.json()["packs"][0]);
    for field in ["title", "series", "labels"] {
        assert_eq!(before[field], after[field]);
    }
}

#[tokio::test]
async fn an_import_that_broke_off_goes_on_with_the_same_command() {
    let door = Door::default();
    let (world, _running) = door.opened().await;
    let mut text = PACK.split("- address").next().unwrap().to_owned();
    for n in 0..2_500 {
        text += &format!("- address: '0x{n:040x}'\n  label: number {n}\n");
    }
    world.write("pack.yaml", &text);
    let file = world.path("pack.yaml");
    door.with(|book| book.breaks_after = Some(1));
    let ran = world.haetae(&["labels", "import", file.to_str().unwrap()]).await;
    assert_eq!(ran.code(), 4, "{ran:?}");
    let ran = world.haetae(&["labels", "import", file.to_str().unwrap()]).await;
    assert_eq!(ran.code(), 0, "{ran:?}");
    assert!(ran.out().contains("1000 of them had come before"), "{ran:?}");
    let labels = door.with(|book| book.packs.values().next().unwrap().1.len());
    assert_eq!(labels, 2_500);
}

#[tokio::test]
async fn what_is_said_of_an_address_is_shown_and_asked_for_with_a_purpose() {
    let door = Door::default();
    let (world, _running) = door.opened().await;
    let address = "0x52908400098527886E0F7030069857D2E4169EE7";
    let ran = world.haetae(&["labels", "show", address]).await;
    assert!(ran.code() == 0 && ran.out().contains("50 of 100 (forensic)"), "{ran:?}");
    let json = world.haetae(&["labels", "show", address, "--json"]).await.json();
    assert_eq!(json["labels"][0]["says"]["label"], "one");
    assert_eq!(door.with(|book| book.purposes.clone()), ["test", "test"]);
}

#[tokio::test]
async fn a_file_that_is_no_pack_is_refused_whole_and_nothing_is_sent() {
    let door = Door::default();
    let (world, _running) = door.opened().await;
    world.write("good.yaml", PACK);
    world.write("bad.yaml", &PACK.replace("title: Test pack\n", ""));
    let (good, bad) = (world.path("good.yaml"), world.path("bad.yaml"));
    let ran = world.haetae(&["labels", "import", good.to_str().unwrap(), bad.to_str().unwrap()]).await;
    assert_eq!(ran.code(), 2, "{ran:?}");
    assert!(ran.err().contains("the head says no title"), "{ran:?}");
    assert!(door.with(|book| book.packs.is_empty()));
}
