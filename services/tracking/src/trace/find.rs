//! The search, carried out on what is stored.

use std::collections::BTreeMap;

use haetae_core::{Account, ChainId, Moment, WatchId};
use haetae_wire::tracking::v1::{self as wire, Attribution};
use sqlx::PgConnection;

use super::answer::{self, About};
use super::{Query, Search, Start};
use crate::db::{self, trace as stored};
use crate::labels::Found;

/// The graph over the movements of these watches; none where nothing was recorded of the start. The connection sees one
/// state of the database.
pub(crate) async fn find(
    conn: &mut PgConnection,
    ids: &[WatchId],
    query: &Query,
    now: Moment,
) -> Result<Option<wire::Trace>, sqlx::Error> {
    let watches = stored::watches(conn, ids).await?;
    let mut accounts = Vec::new();
    let mut transfers = Vec::new();
    match &query.start {
        Start::Roots => accounts.extend(watches.iter().map(|watch| watch.root.clone())),
        Start::Account(account) if stored::is_recorded(conn, ids, account).await? => accounts.push(account.clone()),
        Start::Account(_) => return Ok(None),
        Start::Transfer { chain, transaction, index } => {
            transfers = stored::transfers(conn, ids, chain, transaction, index.as_deref()).await?;
            if transfers.is_empty() {
                return Ok(None);
            }
        }
    }
    let mut search = Search::begin(query, accounts, transfers);
    while let Some(look) = search.next() {
        let (found, all) = stored::look(conn, ids, &look).await?;
        search.take(found, all);
    }
    let graph = search.finish();
    let accounts: Vec<_> = graph.nodes.iter().map(|node| node.account.clone()).collect();
    let about = About {
        heads: stored::heads(conn, ids).await?,
        sums: stored::sums(conn, ids, &accounts).await?,
        ends: stored::ends(conn, ids, &accounts).await?,
        known: stored::known(conn, ids, &accounts).await?,
        labels: labels(conn, &accounts).await?,
        watches,
    };
    Ok(Some(answer::trace(&graph, &about, now)))
}

/// What counts now of what others say about accounts.
async fn labels(
    conn: &mut PgConnection,
    accounts: &[Account],
) -> Result<Vec<(Account, wire::TraceLabel)>, sqlx::Error> {
    let mut by_chain: BTreeMap<&ChainId, Vec<&Account>> = BTreeMap::new();
    for account in accounts {
        by_chain.entry(account.chain()).or_default().push(account);
    }
    let mut labels = Vec::new();
    for (chain, accounts) in by_chain {
        let addresses: Vec<String> = accounts.iter().map(|account| account.address().to_owned()).collect();
        let found = db::label::about(&mut *conn, chain, &addresses).await?;
        for account in accounts {
            let says = found.get(account.address()).into_iter().flatten().map(Found::says);
            let label = |says: Attribution| wire::TraceLabel { label: says.label, source: says.source };
            labels.extend(says.map(|says| (account.clone(), label(says))));
        }
    }
    Ok(labels)
}
