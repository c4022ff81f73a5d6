//! Labels come by intake's log, are kept with where they are from, and end trails where they say that money cannot be
//! followed.

use std::collections::BTreeSet;

use haetae_core::{Account, ChainId};
use haetae_wire::{
    intake::v1::{LabelPackBegun, LabelPackComplete, LabelsReceived},
    tracking::v1::{
        self as wire, Attribution, KnownLabel, Label, LabelPack, TrailEndReason, label_service_server::LabelService,
        tracking_service_server::TrackingService,
    },
};
use prost::Message;
use tonic::Request;

use crate::chain::Chain;
use crate::mesh::{Mesh, Replica, WatchOf, eventually};

/// A pack about accounts of the test's chain.
pub(crate) fn pack(n: u8, says: Attribution, labels: u64) -> LabelPack {
    pack_of(&Chain::id(), n, says, labels)
}

/// A pack about accounts of a chain.
pub(crate) fn pack_of(chain: &ChainId, n: u8, says: Attribution, labels: u64) -> LabelPack {
    let says = Attribution {
        source: "https://labels.test".into(),
        network: chain.to_string(),
        label: if says.label.is_empty() { format!("pack {n}") } else { says.label.clone() },
        ..says
    };
    LabelPack {
        pack_id: format!("{n:02x}").repeat(32),
        series: "mixers".into(),
        title: "Mixers".into(),
        creator: "us".into(),
        says: Some(says),
        labels,
        ..LabelPack::default()
    }
}

/// What a label may say of its kind.
pub(crate) fn concept(concept: &str, confidence: &str) -> Attribution {
    Attribution { concepts: vec![concept.into()], confidence: confidence.into(), ..Attribution::default() }
}

pub(crate) fn label(address: &str) -> Label {
    Label { address: address.to_lowercase(), says: None }
}

impl<C> Mesh<C> {
    /// Intake takes in a pack, in two parts.
    pub(crate) async fn import(&self, pack: &LabelPack, labels: Vec<Label>, superseded: &str) {
        let person = "knp-su-bin".to_owned();
        let begun = LabelPackBegun { pack: Some(pack.clone()), person, system: "knp-portal".into() };
        let mut facts = vec![("label-pack", begun.encode_to_vec())];
        let cut = labels.len() / 2;
        for (after, labels) in [(0, &labels[..cut]), (cut as u64, &labels[cut..])] {
            let fact = LabelsReceived { pack_id: pack.pack_id.clone(), after, labels: labels.to_vec() };
            facts.push(("labels", fact.encode_to_vec()));
        }
        let complete = LabelPackComplete { pack_id: pack.pack_id.clone(), superseded_pack_id: superseded.to_owned() };
        facts.push(("label-pack-complete", complete.encode_to_vec()));
        self.intake_says("labels/mixers", facts).await;
    }

    async fn ends(&self, replica: &Replica, watch: haetae_core::WatchId, reasons: &[TrailEndReason]) -> Ends {
        let request = wire::ListTrailEndsRequest {
            watch_id: watch.to_string(),
            reasons: reasons.iter().map(|reason| i32::from(*reason)).collect(),
            ..Default::default()
        };
        Ends(replica.api().list_trail_ends(Request::new(request)).await.unwrap().into_inner())
    }
}

struct Ends(wire::ListTrailEndsResponse);

impl Ends {
    fn short(&self) -> BTreeSet<(String, &str, String)> {
        let short = |place: &wire::TrailPlace| {
            (place.account.clone(), place.reason().as_str_name(), place.traced_amount.clone())
        };
        self.0.places.iter().map(short).collect()
    }
}

async fn said(replica: &Replica, address: &str) -> Vec<KnownLabel> {
    let request = wire::GetLabelsRequest { address: address.to_owned() };
    replica.api().get_labels(Request::new(request)).await.unwrap().into_inner().labels
}

pub(crate) async fn known(replica: &Replica, account: &Account, count: usize) -> Vec<KnownLabel> {
    let mut labels = Vec::new();
    eventually("the labels are known", async || {
        labels = said(replica, &account.to_string()).await;
        labels.iter().filter(|label| label.superseded_by.is_empty()).count() == count
    })
    .await;
    labels
}

#[tokio::test(flavor = "multi_thread")]
async fn what_packs_say_stands_side_by_side_and_a_newer_version_takes_the_place_of_the_older_one() {
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    let account = mesh.chain.account(3);
    let foreign = Label {
        address: "4AdUndXHHZ6cfufTMvppY6JwXNouMBzSkbLYfpAV5Usx".into(),
        says: Some(Attribution { currency: "XMR".into(), network: "XMR".into(), ..Attribution::default() }),
    };
    let first = pack(1, concept("mixing_service", "web_crawl"), 3);
    mesh.import(&first, vec![label(account.address()), foreign.clone(), label(mesh.chain.account(4).address())], "")
        .await;
    let other = LabelPack { series: "others".into(), ..pack(2, concept("exchange", "service_api"), 1) };
    mesh.import(&other, vec![label(account.address())], "").await;

    let labels = known(&replica, &account, 2).await;
    let short: Vec<_> = labels.iter().map(|one| (one.says.as_ref().unwrap().label.as_str(), one.confidence)).collect();
    assert_eq!(short, [("pack 2", 70), ("pack 1", 20)], "what is worth most comes first; neither is lost");
    assert_eq!((labels[1].number, labels[1].person.as_str(), labels[1].title.as_str()), (1, "knp-su-bin", "Mixers"));
    assert_eq!(labels[1].account, account.to_string());
    assert_eq!(said(&replica, &account.address().to_lowercase()).await, labels, "in any spelling, on every chain");
    assert!(said(&replica, &format!("eip155:1:{}", account.address())).await.is_empty(), "not on another chain");
    let elsewhere = said(&replica, &foreign.address).await;
    assert_eq!((elsewhere.len(), elsewhere[0].account.as_str()), (1, ""));

    let newer = pack(3, concept("mixing_service", "forensic"), 1);
    mesh.import(&newer, vec![label(mesh.chain.account(5).address())], &first.pack_id).await;
    let labels = known(&replica, &account, 1).await;
    let stands: Vec<_> = labels.iter().map(|one| one.superseded_by.as_str()).collect();
    assert_eq!(stands, ["", newer.pack_id.as_str()], "what does not count any more is still to be read");

    let packs = replica.api().list_label_packs(Request::new(wire::ListLabelPacksRequest {})).await.unwrap();
    let packs = packs.into_inner().packs;
    let short: Vec<_> = packs.iter().map(|pack| (pack.received, !pack.superseded_by.is_empty())).collect();
    assert_eq!(short.len(), 3);
    assert_eq!(short.iter().filter(|(_, superseded)| *superseded).count(), 1);
    let request = wire::ListLabelsRequest { pack_id: first.pack_id.clone(), after: 1 };
    let page = replica.api().list_labels(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(page.pack.unwrap().pack, Some(first));
    assert_eq!(page.labels.len(), 2);
    assert_eq!(page.labels[0], foreign);
    assert_eq!(mesh.parked().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_ends_a_trail_with_where_it_is_from_and_one_that_comes_later_rewrites_nothing() {
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    let (mixer, late, weak) = (mesh.chain.account(1), mesh.chain.account(2), mesh.chain.account(3));
    let first = pack(1, concept("mixing_service", "forensic"), 1);
    mesh.import(&first, vec![label(mixer.address())], "").await;
    let crawled = LabelPack { series: "crawled".into(), ..pack(2, concept("defi_bridge", "web_crawl"), 1) };
    mesh.import(&crawled, vec![label(weak.address())], "").await;
    known(&replica, &weak, 1).await;

    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    mesh.chain.pay(0, 1, 400).await;
    mesh.chain.pay(0, 2, 300).await;
    mesh.chain.pay(0, 3, 200).await;
    let ended = async || mesh.of_kind::<wire::TrailEnded>(watch, "trail-ended").await;
    eventually("the trail ends", async || ended().await.len() == 1).await;
    mesh.caught_up().await;
    let end = ended().await.remove(0);
    assert_eq!((end.reason(), end.account.as_str()), (TrailEndReason::Mixer, mixer.to_string().as_str()));
    let label_of_end = end.label.unwrap();
    assert_eq!(
        (label_of_end.pack_id.as_str(), label_of_end.number, label_of_end.confidence),
        (first.pack_id.as_str(), 1, 50)
    );
    assert_eq!(label_of_end.says.unwrap().source, "https://labels.test");
    mesh.asked("upbit", &mixer, 1).await;

    // What is labelled after money came there is followed on: the trail is what it was.
    let second = pack(4, concept("mixing_service", "forensic"), 2);
    mesh.import(&second, vec![label(late.address()), label(mesh.chain.account(4).address())], &first.pack_id).await;
    known(&replica, &mesh.chain.account(4), 1).await;
    mesh.chain.pay(2, 4, 100).await;
    mesh.chain.pay(2, 5, 50).await;
    eventually("another end", async || ended().await.len() == 2).await;
    mesh.caught_up().await;
    assert_eq!(ended().await[1].account, mesh.chain.account(4).to_string());

    // Another replica, which folds anew what is stored, says the same.
    let folded = mesh.replica().await;
    use TrailEndReason::{Mixer, Unspent};
    let places = mesh.ends(&folded, watch, &[]).await;
    let place = |n: usize| mesh.chain.account(n).to_string();
    let expected =
        [(0, Unspent, 100), (1, Mixer, 400), (2, Unspent, 150), (3, Unspent, 200), (4, Mixer, 100), (5, Unspent, 50)]
            .map(|(n, reason, traced): (usize, _, u32)| (place(n), reason.as_str_name(), traced.to_string()));
    assert_eq!(places.short(), BTreeSet::from(expected));
    let labels: Vec<_> = places.0.places.iter().filter_map(|place| place.label.as_ref()).collect();
    let superseded = labels.iter().find(|label| label.pack_id == first.pack_id).unwrap();
    assert_eq!(superseded.superseded_by, second.pack_id, "the label that was known then, and what became of its pack");

    assert_eq!(places.0.taint_rule(), haetae_wire::exchange::v1::TaintRule::TracedFirst);
    let parked = mesh.ends(&replica, watch, &[Unspent]).await;
    assert_eq!(parked.0.places.len(), 4);
    let totals: Vec<_> = parked.0.totals.iter().map(|total| (total.traced_amount.as_str(), total.places)).collect();
    assert_eq!(totals, [("500", 4)]);
    let led = parked.0.places.iter().find(|one| one.account == place(5)).unwrap();
    assert_eq!((led.from.as_str(), led.depth, led.transfers), (place(2).as_str(), 2, 1));
    assert!(led.since.is_some() && led.block_number > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_places_where_money_is_come_in_pages() {
    let mesh = Mesh::start().await;
    let replica = mesh.replica().await;
    let watch = mesh.watch(&WatchOf::coins(0, 1_000)).await;
    for payee in 1..=4 {
        mesh.chain.pay(0, payee, 100).await;
    }
    eventually("four hops", async || mesh.of_kind::<wire::Hop>(watch, "hop").await.len() == 4).await;
    let mut token = String::new();
    let mut accounts = Vec::new();
    loop {
        let request = wire::ListTrailEndsRequest {
            watch_id: watch.to_string(),
            page_size: 2,
            page_token: token,
            ..Default::default()
        };
        let page = replica.api().list_trail_ends(Request::new(request)).await.unwrap().into_inner();
        assert_eq!(page.totals[0].places, 5, "over all pages");
        accounts.extend(page.places.into_iter().map(|place| place.account));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let mut sorted = accounts.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((accounts.len(), &accounts), (5, &sorted));
    let refused = |reasons: Vec<i32>, page_token: &str| {
        let watch_id = watch.to_string();
        let request = wire::ListTrailEndsRequest { watch_id, reasons, page_token: page_token.to_owned(), page_size: 0 };
        let api = replica.api();
        async move { api.list_trail_ends(Request::new(request)).await.unwrap_err().code() }
    };
    assert_eq!(refused(vec![99], "").await, tonic::Code::InvalidArgument);
    assert_eq!(refused(vec![0], "").await, tonic::Code::InvalidArgument);
    assert_eq!(refused(Vec::new(), "rubbish").await, tonic::Code::InvalidArgument);
}
