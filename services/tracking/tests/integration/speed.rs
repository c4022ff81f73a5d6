//! From the block that carries the money to a question that exchanges can read.

use std::time::Duration;

use alloy_primitives::Address;
use haetae_core::Account;
use tokio::time::{Instant, sleep};

use crate::chain::Chain;
use crate::mesh::{Mesh, WatchOf};

/// Generous: test machines are small and shared. What it takes is printed.
const MEDIAN: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_sealed_soon_after_its_block() {
    let mesh = Mesh::start().await;
    let _replica = mesh.replica().await;
    mesh.watch(&WatchOf::coins(0, 1_000_000)).await;
    let mut taken = Vec::new();
    for n in 1..=15 {
        let payee = Address::repeat_byte(n);
        mesh.chain.pay_to(0, payee, 100).await;
        let mined = Instant::now();
        while mesh.questions("upbit", &Account::evm(Chain::id(), payee)).await.is_empty() {
            assert!(mined.elapsed() < Duration::from_secs(20), "never asked");
            sleep(Duration::from_millis(1)).await;
        }
        taken.push(mined.elapsed());
    }
    taken.sort_unstable();
    let median = taken[taken.len() / 2];
    println!("from the block to a sealed question: median {median:?}, slowest {:?}", taken[taken.len() - 1]);
    assert!(median < MEDIAN, "{median:?}");
}
