//! What is asked, from the wire.

use haetae_core::{Account, ChainId, Collect as _, Reason, TransferId, TransferIndex, Violations, WatchId};
use haetae_wire::read::{self, Read};
use haetae_wire::tracking::v1 as wire;
use haetae_wire::tracking::v1::trace_query::Start as Asked;

use super::{Filter, Query, Start};

/// Accounts in an answer where the question does not say, and at most.
const NODES: (usize, usize) = (500, 2_000);
/// Watches gone through at once.
const WATCHES: usize = 100;

/// The watches to go through, and what to look for.
pub(crate) fn read(request: &wire::TraceRequest, v: &mut Violations) -> Option<(Vec<WatchId>, Query)> {
    read::not_empty(v, "watch_ids", &request.watch_ids);
    if request.watch_ids.len() > WATCHES {
        v.add("watch_ids", Reason::FieldMalformed, format!("must be at most {WATCHES}"));
    }
    let watches = read::parse_set::<WatchId>(v, "watch_ids", &request.watch_ids);
    let query = read::required(v, "query", request.query.as_ref());
    Some((watches?.into_iter().collect(), query?))
}

impl Read<Query> for wire::TraceQuery {
    fn read(&self, v: &mut Violations) -> Option<Query> {
        use wire::TraceDirection::{Backward, Both, Forward, Unspecified};
        let start = match &self.start {
            None => Some(Start::Roots),
            Some(Asked::Account(account)) => read::parse::<Account>(v, "account", account).map(Start::Account),
            Some(Asked::Transfer(transfer)) => v.within("transfer", |v| {
                let chain = read::parse::<ChainId>(v, "chain", &transfer.chain);
                let transaction = transaction(v, chain.as_ref(), &transfer.transaction);
                let index = read::parse_optional::<TransferIndex>(v, "index", &transfer.index);
                let index = index?.map(|index| index.to_string());
                Some(Start::Transfer { chain: chain?, transaction: transaction?, index })
            }),
        };
        let direction = wire::TraceDirection::try_from(self.direction);
        if direction.is_err() {
            v.add("direction", Reason::FieldMalformed, "is a value that the contract does not know");
        }
        let filter =
            v.within("filter", |v| self.filter.as_ref().map_or(Some(Filter::default()), |filter| filter.read(v)));
        let direction = direction.ok()?;
        let (usual, most) = NODES;
        Some(Query {
            start: start?,
            forward: matches!(direction, Unspecified | Forward | Both),
            backward: matches!(direction, Backward | Both),
            max_nodes: match self.max_nodes {
                0 => usual,
                nodes => usize::try_from(nodes).unwrap_or(most).min(most),
            },
            max_depth: (self.max_depth > 0).then_some(self.max_depth),
            filter: filter?,
        })
    }
}

impl Read<Filter> for wire::TraceFilter {
    fn read(&self, v: &mut Violations) -> Option<Filter> {
        let assets = read::parse_set(v, "assets", &self.assets);
        let since = read::moment_optional(v, "since", self.since.as_ref());
        let until = read::moment_optional(v, "until", self.until.as_ref());
        let minimums = read::amounts(v, "minimums", &self.minimums);
        Some(Filter {
            assets: assets?,
            since: since?,
            until: until?,
            minimums: minimums?,
            dust: self.include_dust,
            retracted: self.include_retracted,
            untraced: self.include_untraced,
        })
    }
}

/// A transaction's hash as its chain prints it.
fn transaction(v: &mut Violations, chain: Option<&ChainId>, text: &str) -> Option<String> {
    let text = read::text(v, "transaction", text, 1..=100)?;
    match chain?.kind() {
        Some(kind) => TransferId::check_transaction(kind, &text).collect(v, "transaction").map(|()| text),
        None => {
            v.add("chain", Reason::ChainNotSupported, "is not one whose transactions are known here");
            None
        }
    }
}
