//! The search, carried out on what is stored.

use haetae_core::{Moment, WatchId};
use haetae_wire::tracking::v1 as wire;
use sqlx::PgConnection;

use super::answer::{self, About};
use super::{Query, Search, Start};
use crate::db::trace as stored;

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
        watches,
    };
    Ok(Some(answer::trace(&graph, &about, now)))
}
