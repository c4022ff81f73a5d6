use std::borrow::Cow;

use haetae_testkit::postgres::TestDb;
use sqlx::PgPool;
use sqlx::migrate::Migrator;

use super::*;
use crate::MIGRATOR;
use crate::scene::{account, chain, plain, terms, token, transfer};
use crate::trail::Sighting;

/// The service's tables as they were after so many migrations.
fn first(migrations: usize) -> Migrator {
    let migrations: Vec<_> = MIGRATOR.iter().take(migrations).cloned().collect();
    Migrator { migrations: Cow::Owned(migrations), ..Migrator::DEFAULT }
}

/// What the first version of the service stored of a watch from account 0, from which 60 came to account 1.
async fn stored_by_the_first_version(pool: &PgPool, terms: &Terms, hop: &Sighting) {
    sqlx::query("insert into chain_head (chain, number, hash, node_number, handled_at) values ($1, 5, $2, 5, now())")
        .bind(chain().as_str())
        .bind([7u8; 32].as_slice())
        .execute(pool)
        .await
        .unwrap();
    sqlx::query(
        "insert into watch (id, request_id, chain, root, active_after, until, max_hops, max_addresses, max_questions,
                            max_degree, version)
         values ($1, $2, $3, $4, 0, now() + interval '1 day', 10, 10, 10, 1, 1)",
    )
    .bind(terms.watch.0)
    .bind(terms.request.0)
    .bind(chain().as_str())
    .bind(account(0).to_string())
    .execute(pool)
    .await
    .unwrap();
    sqlx::query("insert into watch_asset (watch_id, asset, stolen) values ($1, $2, 100)")
        .bind(terms.watch.0)
        .bind(token().to_string())
        .execute(pool)
        .await
        .unwrap();
    sqlx::query("insert into watch_line (watch_id, exchange, line) values ($1, 'upbit', $1)")
        .bind(terms.watch.0)
        .execute(pool)
        .await
        .unwrap();
    sqlx::query(
        "insert into known_account (watch_id, account, contract, degree, admitted, standing)
         values ($1, $2, false, 0, true, 'not-held')",
    )
    .bind(terms.watch.0)
    .bind(account(1).to_string())
    .execute(pool)
    .await
    .unwrap();
    sqlx::query(
        "insert into movement (watch_id, chain, transaction, index, payer, payee, asset, amount, block_number, block_hash,
                               position, seen_at, live, hop_depth, hop_traced, hop_provisional, hop_finality, hop_block_hash)
         values ($1, $2, $3, $4, $5, $6, $7, 60, $8, $9, $10, now(), true, 1, 60, false, 'seen', $9)",
    )
    .bind(terms.watch.0)
    .bind(chain().as_str())
    .bind(&hop.transfer.transaction)
    .bind(hop.transfer.index.to_string())
    .bind(account(0).to_string())
    .bind(account(1).to_string())
    .bind(token().to_string())
    .bind(signed(hop.place.block))
    .bind(&hop.block_hash)
    .bind(i64::from(hop.place.position))
    .execute(pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn a_watch_that_the_first_version_stored_goes_on_under_this_one() {
    let db = TestDb::prepared(b"tracking, the first version", async |pool| {
        haetae_ledger::migrate(&pool).await?;
        Ok(first(1).run(&pool).await?)
    })
    .await
    .unwrap();
    let (of, hop) = (terms(100), transfer(1, 1, 0, 1, 60));
    stored_by_the_first_version(&db.pool, &of, &hop).await;
    // By then a movement could have several payers.
    first(10).run(&db.pool).await.unwrap();
    let others = serde_json::json!([[account(0).to_string(), "50"], [account(4).to_string(), "10"]]);
    sqlx::query("update movement set hop_payers = $1").bind(others).execute(&db.pool).await.unwrap();
    MIGRATOR.run(&db.pool).await.unwrap();

    let mut conn = db.pool.acquire().await.unwrap();
    let paid: Vec<(String, String)> = sqlx::query_as("select payer, payee from payment order by payer = $1 desc")
        .bind(account(0).to_string())
        .fetch_all(&mut *conn)
        .await
        .unwrap();
    let pair = |from, to| (account(from).to_string(), account(to).to_string());
    assert_eq!(paid, [pair(0, 1), pair(4, 1)]);
    sqlx::query("update movement set hop_payers = null").execute(&mut *conn).await.unwrap();
    let (row, mut watched) = load(&mut conn, of.watch).await.unwrap().unwrap();
    assert!(row.active);
    assert_eq!(watched.settle(), Default::default(), "there is nothing to be said anew");
    assert!(watched.see(transfer(2, 2, 1, 2, 40), &plain).unwrap());
    let news = watched.settle();
    assert_eq!((news.movements.len(), news.asks.len()), (1, 1), "it is followed on");
}
