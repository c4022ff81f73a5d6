//! What a picture shows: accounts and the money between them, parallel movements told together.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use haetae_core::Amount;
use haetae_wire::{
    exchange::v1::{LegState, RefusalReason, TaintRule, WalletRole},
    freeze::v1::{DesiredState, Leg},
    intake::v1::TraceResponse,
    tracking::v1::{
        ArrivalState, Finality, TraceEdge, TraceEdgeKind, TraceLimit, TraceNode, TraceNodeKind, TrailEndReason,
    },
};

use super::text::Unit;
use crate::show::{Look, time, words};

/// What was asked, in words, as the title says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Question {
    /// Whose movements, such as `one watch`.
    pub(crate) scope: String,
    /// Where from and which way.
    pub(crate) start: String,
    /// What is left out; empty where nothing is.
    pub(crate) filter: String,
}

/// A trace, ready to be drawn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flow {
    pub(super) title: Title,
    pub(super) assets: Vec<Coin>,
    pub(super) nodes: Vec<Node>,
    pub(super) links: Vec<Link>,
}

/// What stands above the picture.
#[derive(Clone, Debug, Default)]
pub(super) struct Title {
    pub(super) case: String,
    pub(super) question: Question,
    pub(super) watches: Vec<Watch>,
    /// When and how far in which chain.
    pub(super) as_of: String,
    /// When the first and the last of the movements were seen; empty where there are none.
    pub(super) seen: (String, String),
    /// Plain sentences on what is missing; none where nothing is.
    pub(super) missing: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub(super) id: String,
    pub(super) root: String,
    pub(super) rule: String,
    pub(super) stolen: Vec<String>,
}

/// An asset.
#[derive(Clone, Debug)]
pub(super) struct Coin {
    /// CAIP-19.
    pub(super) id: String,
    pub(super) unit: Unit,
}

/// What an account is, to the eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Root,
    Wallet,
    Exchange,
    Contract,
    Service,
    /// Something that this program does not know yet.
    Other,
    /// Several accounts, told together.
    Group,
}

/// An account.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) account: String,
    pub(super) kind: Kind,
    /// The kind in words.
    pub(super) what: String,
    /// Exchanges were asked about it and not all have answered.
    pub(super) open: bool,
    pub(super) depth: u32,
    pub(super) sums: Vec<Sums>,
    pub(super) ends: Vec<End>,
    pub(super) first: String,
    pub(super) last: String,
    pub(super) more_out: u32,
    pub(super) more_in: u32,
    pub(super) freezes: Vec<Freeze>,
    /// A label, and where it is from.
    pub(super) labels: Vec<(String, String)>,
    /// The accounts that are told together here, each with what it got or gave.
    pub(super) members: Vec<(String, String)>,
}

/// What moved at an account, of one asset.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    pub(super) asset: usize,
    pub(super) came: String,
    pub(super) went: String,
    /// Empty where it cannot be told.
    pub(super) left: String,
    pub(super) fees: String,
}

/// Why a trail ends at an account.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) reason: String,
    pub(super) asset: usize,
    pub(super) traced: String,
}

/// What a leg does, to the eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// The exchange has signed that it binds or withholds.
    Firm,
    /// Ordered; the exchange has not bound itself.
    Waiting,
    /// The exchange refused.
    Refused,
    /// Nothing is withheld any more.
    Over,
}

/// A leg of a freeze.
#[derive(Clone, Debug)]
pub(super) struct Freeze {
    pub(super) leg: String,
    pub(super) exchange: String,
    pub(super) asset: String,
    /// In the asset's smallest unit, as stated; empty where nothing is.
    pub(super) cap: String,
    pub(super) frozen: String,
    pub(super) hold: Hold,
    /// In words, with the amount.
    pub(super) says: String,
    pub(super) rows: Vec<(String, String)>,
}

/// Movements from one account to another, of one asset and kind.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) asset: usize,
    pub(super) kind: LinkKind,
    /// All of them lie beyond an open question.
    pub(super) provisional: bool,
    /// Sums over its movements: of a transfer that two watches recorded, what it moved counts once.
    pub(super) amount: Amount,
    pub(super) traced: Amount,
    pub(super) hops: Vec<Hop>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum LinkKind {
    Hop,
    Dust,
    Untraced,
    Retracted,
}

/// One movement.
#[derive(Clone, Debug)]
pub(super) struct Hop {
    /// Its place among all movements of the trace, which are in the order of their chains.
    pub(super) order: usize,
    pub(super) id: String,
    pub(super) watch: String,
    pub(super) chain: String,
    pub(super) transaction: String,
    pub(super) index: String,
    pub(super) amount: String,
    pub(super) traced: String,
    pub(super) time: String,
    pub(super) block: u64,
    pub(super) finality: String,
    pub(super) provisional: bool,
    pub(super) depth: u32,
    pub(super) arrival: String,
    pub(super) arrival_state: String,
}

impl Flow {
    /// What an answer shows. Movements with an end that is not there are left out: the answer would break its contract.
    pub(crate) fn of(answer: &TraceResponse, question: Question, look: &Look) -> Self {
        let trace = answer.trace.clone().unwrap_or_default();
        let mut assets = Coins { known: Vec::new(), look };
        let nodes: Vec<Node> = trace.nodes.iter().map(|node| node_of(node, &answer.legs, &mut assets)).collect();
        let places: HashMap<&str, usize> =
            trace.nodes.iter().enumerate().map(|(place, node)| (node.account.as_str(), place)).collect();
        let links = links_of(&trace.edges, &places, &mut assets);
        let watches = trace.watches.iter().map(|watch| Watch {
            id: watch.watch_id.clone(),
            root: watch.root.clone(),
            rule: words(watch.taint_rule, TaintRule::as_str_name, "TAINT_RULE_"),
            stolen: watch.stolen.iter().map(|stolen| assets.exact(&stolen.asset, &stolen.amount)).collect(),
        });
        let watches = watches.collect();
        let heads = trace.heads.iter().map(|head| format!("{} read to block {}", head.chain, head.block_number));
        let as_of = std::iter::once(time(trace.as_of.as_ref())).chain(heads).collect::<Vec<_>>().join(" · ");
        let more = trace.nodes.iter().filter(|node| node.more_out + node.more_in > 0).count();
        let missing = trace.limits.iter().map(|limit| missing(*limit, more)).collect();
        // Their texts sort as the moments do.
        let times = || links.iter().flat_map(|link| link.hops.iter().map(|hop| hop.time.clone()));
        let seen = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
        let title = Title { case: answer.case_number.clone(), question, watches, as_of, seen, missing };
        Self { title, assets: assets.known, nodes, links }
    }

    pub(super) fn unit(&self, asset: usize) -> Unit {
        self.assets.get(asset).map_or_else(|| Unit::of(""), |coin| coin.unit.clone())
    }

    /// All movements were seen on one day, which need not be said with each.
    pub(super) fn is_of_one_day(&self) -> bool {
        let (first, last) = &self.title.seen;
        first.get(..10) == last.get(..10)
    }

    /// Nothing that was asked for is missing.
    pub(crate) fn is_complete(&self) -> bool {
        self.title.missing.is_empty()
    }
}

/// The assets of a trace, by number.
struct Coins<'a> {
    known: Vec<Coin>,
    look: &'a Look,
}

impl Coins<'_> {
    fn number(&mut self, id: &str) -> usize {
        if let Some(at) = self.known.iter().position(|coin| coin.id == id) {
            return at;
        }
        let named = id.parse().ok().and_then(|asset| self.look.assets.iter().find(|name| name.id == asset));
        let unit = match named {
            Some(name) => Unit { name: name.symbol.clone(), decimals: Some(name.decimals) },
            None => Unit::of(id),
        };
        self.known.push(Coin { id: id.to_owned(), unit });
        self.known.len() - 1
    }

    fn exact(&mut self, id: &str, amount: &str) -> String {
        let number = self.number(id);
        self.known[number].unit.exact(amount)
    }

    fn brief(&mut self, id: &str, amount: &str) -> String {
        let number = self.number(id);
        self.known[number].unit.brief(amount)
    }
}

fn node_of(node: &TraceNode, legs: &[Leg], assets: &mut Coins<'_>) -> Node {
    let (kind, what) = kind_of(node);
    let sums = node.sums.iter().map(|sums| Sums {
        asset: assets.number(&sums.asset),
        came: sums.traced_in.clone(),
        went: sums.traced_out.clone(),
        left: sums.left.clone(),
        fees: sums.fees.clone(),
    });
    let sums = sums.collect();
    let ends = node.ends.iter().map(|end| End {
        reason: words(end.reason, TrailEndReason::as_str_name, "TRAIL_END_REASON_"),
        asset: assets.number(&end.asset),
        traced: end.traced_amount.clone(),
    });
    let ends = ends.collect();
    let here = legs.iter().filter(|leg| leg.target.as_ref().is_some_and(|target| target.account == node.account));
    Node {
        account: node.account.clone(),
        kind,
        what,
        open: node.open,
        depth: node.depth,
        sums,
        ends,
        first: time(node.first_seen.as_ref()),
        last: time(node.last_seen.as_ref()),
        more_out: node.more_out,
        more_in: node.more_in,
        freezes: here.map(|leg| freeze_of(leg, assets)).collect(),
        labels: node.labels.iter().map(|label| (label.label.clone(), label.source.clone())).collect(),
        members: Vec::new(),
    }
}

fn kind_of(node: &TraceNode) -> (Kind, String) {
    match TraceNodeKind::try_from(node.kind) {
        Ok(TraceNodeKind::Root) => (Kind::Root, "root: the stolen money was here".to_owned()),
        Ok(TraceNodeKind::Exchange) => {
            let role = match node.wallet_role {
                0 => String::new(),
                role => format!(" · {}", words(role, WalletRole::as_str_name, "WALLET_ROLE_")),
            };
            (Kind::Exchange, format!("{}{role}", node.exchange))
        }
        Ok(TraceNodeKind::Contract) => (Kind::Contract, "contract".to_owned()),
        Ok(TraceNodeKind::Service) => (Kind::Service, "service: many counterparties".to_owned()),
        Ok(TraceNodeKind::Wallet | TraceNodeKind::Unspecified) => {
            let reasons =
                node.ends.iter().map(|end| words(end.reason, TrailEndReason::as_str_name, "TRAIL_END_REASON_"));
            // What goes in there comes out elsewhere: labels say so, and trails end for that.
            match reasons.into_iter().find(|reason| ["mixer", "bridge", "privacy pool"].contains(&reason.as_str())) {
                Some(reason) => (Kind::Service, format!("{reason}: a label says so")),
                None => (Kind::Wallet, "wallet".to_owned()),
            }
        }
        Err(_) => (Kind::Other, words(node.kind, TraceNodeKind::as_str_name, "TRACE_NODE_KIND_")),
    }
}

fn freeze_of(leg: &Leg, assets: &mut Coins<'_>) -> Freeze {
    let cap = assets.brief(&leg.asset, &leg.cap);
    let frozen = assets.brief(&leg.asset, &leg.frozen_amount);
    let released = leg.desired() == DesiredState::Released;
    let (hold, says) = match leg.reported() {
        LegState::FrozenFull => (Hold::Firm, format!("FROZEN {frozen}")),
        LegState::FrozenPartial => (Hold::Firm, format!("FROZEN {frozen} of {cap}")),
        LegState::Binding => (Hold::Firm, format!("BINDING up to {cap}")),
        LegState::Accepted => (Hold::Waiting, "ACCEPTED, not binding yet".to_owned()),
        LegState::Refused => {
            let ground = words(leg.refusal, RefusalReason::as_str_name, "REFUSAL_REASON_");
            (Hold::Refused, format!("REFUSED: {ground}"))
        }
        LegState::Released => (Hold::Over, "RELEASED".to_owned()),
        LegState::Expired => (Hold::Over, "EXPIRED".to_owned()),
        _ => (Hold::Waiting, format!("ORDERED up to {cap}")),
    };
    let ordered = if released && hold != Hold::Over { ", release ordered" } else { "" };
    let review = if leg.under_review { ", REVIEW" } else { "" };
    let rows = [
        ("leg", leg.leg_id.clone()),
        ("exchange", leg.exchange.clone()),
        ("asset", leg.asset.clone()),
        ("desired", words(leg.desired, DesiredState::as_str_name, "DESIRED_STATE_")),
        ("at most", assets.exact(&leg.asset, &leg.cap)),
        ("until", time(leg.until.as_ref())),
        ("reported", words(leg.reported, LegState::as_str_name, "LEG_STATE_")),
        ("withheld", assets.exact(&leg.asset, &leg.frozen_amount)),
        ("binding since", time(leg.binding_at.as_ref())),
        ("request", leg.request_id.clone()),
    ];
    Freeze {
        leg: leg.leg_id.clone(),
        exchange: leg.exchange.clone(),
        asset: leg.asset.clone(),
        cap: leg.cap.clone(),
        frozen: leg.frozen_amount.clone(),
        hold,
        says: format!("{says}{ordered}{review}"),
        rows: rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}

fn links_of(edges: &[TraceEdge], places: &HashMap<&str, usize>, assets: &mut Coins<'_>) -> Vec<Link> {
    let mut links: BTreeMap<(usize, usize, usize, LinkKind), Link> = BTreeMap::new();
    let mut counted: BTreeSet<(usize, usize, usize, LinkKind, String, String)> = BTreeSet::new();
    for (order, edge) in edges.iter().enumerate() {
        let (Some(&from), Some(&to)) = (places.get(edge.from.as_str()), places.get(edge.to.as_str())) else { continue };
        if from == to {
            continue;
        }
        let kind = match (edge.kind(), edge.finality()) {
            (TraceEdgeKind::Hop, Finality::Retracted) => LinkKind::Retracted,
            (TraceEdgeKind::Dust, _) => LinkKind::Dust,
            (TraceEdgeKind::Untraced, _) => LinkKind::Untraced,
            _ => LinkKind::Hop,
        };
        let asset = assets.number(&edge.asset);
        let hop = hop_of(order, edge);
        let link = links.entry((from, to, asset, kind)).or_insert_with(|| Link {
            from,
            to,
            asset,
            kind,
            provisional: true,
            amount: Amount::ZERO,
            traced: Amount::ZERO,
            hops: Vec::new(),
        });
        link.provisional &= hop.provisional;
        link.traced = link.traced.saturating_add(edge.traced_amount.parse().unwrap_or_default());
        if counted.insert((from, to, asset, kind, hop.transaction.clone(), hop.index.clone())) {
            link.amount = link.amount.saturating_add(edge.amount.parse().unwrap_or_default());
        }
        link.hops.push(hop);
    }
    links.into_values().collect()
}

fn hop_of(order: usize, edge: &TraceEdge) -> Hop {
    let transfer = edge.transfer.clone().unwrap_or_default();
    Hop {
        order,
        id: edge.hop_id.clone(),
        watch: edge.watch_id.clone(),
        chain: transfer.chain,
        transaction: transfer.transaction,
        index: transfer.index,
        amount: edge.amount.clone(),
        traced: edge.traced_amount.clone(),
        time: time(edge.time.as_ref()),
        block: edge.block_number,
        finality: words(edge.finality, Finality::as_str_name, "FINALITY_"),
        provisional: edge.provisional,
        depth: edge.depth,
        arrival: edge.arrival_id.clone(),
        arrival_state: words(edge.arrival_state, ArrivalState::as_str_name, "ARRIVAL_STATE_"),
    }
}

/// What a limit means to the reader.
fn missing(limit: i32, accounts: usize) -> String {
    let beyond = match accounts {
        0 => String::new(),
        1 => "; 1 account has more beyond it".to_owned(),
        n => format!("; {n} accounts have more beyond them"),
    };
    match TraceLimit::try_from(limit) {
        Ok(TraceLimit::Nodes) => format!("NOT COMPLETE: as many accounts as were asked for{beyond}."),
        Ok(TraceLimit::Depth) => format!("NOT COMPLETE: as many transfers from the start as were asked for{beyond}."),
        Ok(TraceLimit::Edges) => format!("NOT COMPLETE: as many movements as one answer holds{beyond}."),
        Ok(TraceLimit::Work) => "NOT COMPLETE: too much to go through at once; ask a narrower question.".to_owned(),
        _ => "NOT COMPLETE: for a reason that this program does not know yet.".to_owned(),
    }
}
