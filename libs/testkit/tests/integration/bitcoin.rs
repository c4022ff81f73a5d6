//! The Bitcoin node, and what a test signs for it.

use anyhow::Result;
use bitcoin::{Amount, Sequence, TxOut};
use haetae_testkit::bcoin::{Bcoin, BcoinOptions, FEE, Kind, Wallet, sign};
use serde_json::json;

const COIN: u64 = 100_000_000;

#[tokio::test]
async fn every_kind_of_wallet_is_paid_and_pays() -> Result<()> {
    let node = Bcoin::start(BcoinOptions::default()).await?;
    let mut shop = Wallet::new(Kind::P2wpkh, "shop");
    for kind in [Kind::P2pkh, Kind::P2shP2wpkh, Kind::P2wpkh, Kind::P2tr] {
        let mut wallet = Wallet::new(kind, "hana");
        wallet.note(&node.fund(&wallet.address(), COIN).await?);
        node.mine(1).await?;
        let paid = wallet.pay(&[(shop.address(), COIN / 4)])?;
        if kind == Kind::P2tr {
            // Its mempool does not know Taproot; its blocks let it pass.
            assert!(node.send(&paid).await.is_err());
            node.mine_on(node.tip().await?, std::slice::from_ref(&paid)).await?;
        } else {
            node.send(&paid).await?;
            node.mine(1).await?;
        }
        assert_eq!(wallet.balance(), COIN - COIN / 4 - FEE, "{kind:?}");
        shop.note(&paid);
        let block = node.block(node.tip().await?).await?;
        assert!(block.txdata.contains(&paid) && block.check_witness_commitment(), "{kind:?}");
    }
    let all: Vec<_> = shop.coins().map(|(coin, output)| (*coin, output.clone(), &shop)).collect();
    let home = TxOut { value: Amount::from_sat(COIN - FEE), script_pubkey: shop.address().script_pubkey() };
    let joined = sign(&all, vec![home], Sequence::MAX)?;
    node.send(&joined).await?;
    assert_eq!(joined.input.len(), 4);
    Ok(())
}

#[tokio::test]
async fn a_reorganisation_mines_the_same_transactions_in_other_blocks() -> Result<()> {
    let node = Bcoin::start(BcoinOptions::default()).await?;
    let wallet = Wallet::new(Kind::P2wpkh, "hana");
    let paid = node.fund(&wallet.address(), COIN).await?;
    let old = node.mine(2).await?;
    let height = node.height().await?;
    let new = node.reorganise(2, 3).await?;
    assert_eq!(node.height().await?, height + 1);
    assert!(old.iter().all(|hash| !new.contains(hash)));
    assert!(node.block(new[0]).await?.txdata.contains(&paid), "it waited for the next block");
    assert!(node.block(old[0]).await.is_err(), "this node forgets what was taken out of its chain");
    Ok(())
}

#[tokio::test]
async fn the_longer_branch_wins_and_a_conflict_in_it_ends_what_waited() -> Result<()> {
    let node = Bcoin::start(BcoinOptions::default()).await?;
    let mut thief = Wallet::new(Kind::P2wpkh, "thief");
    thief.note(&node.fund(&thief.address(), COIN).await?);
    let fork = node.mine(1).await?[0];
    let mut twin = thief.clone();
    let first = thief.pay(&[(Wallet::new(Kind::P2pkh, "shop").address(), COIN / 2)])?;
    let second = twin.pay(&[(Wallet::new(Kind::P2pkh, "own other wallet").address(), COIN / 2)])?;
    node.send(&first).await?;
    assert!(node.send(&second).await.is_err(), "this mempool never replaces");
    let lost = node.mine(1).await?[0];
    let one = node.mine_on(fork, &[second]).await?;
    assert_eq!(node.tip().await?, lost, "the first seen of two equally long ones");
    let two = node.mine_on(one, &[]).await?;
    assert_eq!(node.tip().await?, two);
    assert!(node.waiting().await?.is_empty(), "what was paid in the branch that lost conflicts with the one that won");
    Ok(())
}

#[tokio::test]
async fn a_mempool_that_was_taught_to_replaces_what_signals_it_by_what_pays_more() -> Result<()> {
    let node = Bcoin::start(BcoinOptions { replace_by_fee: true, ..BcoinOptions::default() }).await?;
    let mut thief = Wallet::new(Kind::P2wpkh, "thief");
    for _ in 0..2 {
        thief.note(&node.fund(&thief.address(), COIN).await?);
    }
    node.mine(1).await?;
    let coins: Vec<_> = thief.coins().cloned().collect();
    let (stays, goes) = (Sequence::MAX, Sequence::ENABLE_RBF_NO_LOCKTIME);
    let spend = |coin: usize, fee: u64, sequence| {
        let (coin, output) = coins[coin].clone();
        let script_pubkey = Wallet::new(Kind::P2pkh, "shop").address().script_pubkey();
        let paid = TxOut { value: Amount::from_sat(COIN - fee), script_pubkey };
        sign(&[(coin, output, &thief)], vec![paid], sequence)
    };
    let (first, last) = (spend(0, FEE, goes)?, spend(0, 2 * FEE, stays)?);
    node.send(&first).await?;
    assert!(node.send(&spend(0, FEE + 50, stays)?).await.is_err(), "it does not pay for its own size");
    node.send(&last).await?;
    assert_eq!(node.waiting().await?, [last.compute_txid()]);
    assert!(node.send(&spend(0, 3 * FEE, goes)?).await.is_err(), "what waits does not signal");
    assert_eq!(node.waiting().await?, [last.compute_txid()]);
    node.send(&spend(1, FEE, goes)?).await?;
    assert_eq!(node.waiting().await?.len(), 2, "another coin is nobody's rival");
    Ok(())
}

#[tokio::test]
async fn an_error_of_the_bitcoin_node_is_an_error_and_a_coinbase_matures_late() -> Result<()> {
    let node = Bcoin::start(BcoinOptions::default()).await?;
    assert!(node.rpc("getblockhash", json!([9_999_999])).await.is_err());
    assert!(node.rpc("nosuchthing", json!([])).await.is_err());
    let mut miner = Wallet::new(Kind::P2pkh, "somebody");
    let block = node.mine_to(1, &miner.address()).await?[0];
    miner.note(&node.block(block).await?.txdata[0]);
    let paid = miner.pay(&[(Wallet::new(Kind::P2wpkh, "shop").address(), COIN)])?;
    assert!(node.send(&paid).await.is_err());
    node.mine(99).await?;
    node.send(&paid).await?;
    Ok(())
}
