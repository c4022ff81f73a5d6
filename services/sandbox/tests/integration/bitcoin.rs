//! The same exchange on Bitcoin: one account, two chains.

use haetae_core::{Account, Asset, ConfirmationAnswer, LegState, TransferId, TransferIndex, WalletRole};
use haetae_testkit::bcoin::{Bcoin, Kind, REGTEST, Wallet};
use haetae_wire::exchange::v1::DescribeRequest;
use haetae_wire::sandbox::v1::WithdrawalOutcome;

use crate::police::Case;
use crate::scene::{ETHER, Scene, coin, eventually, total};

const BITCOIN: u128 = 100_000_000;

fn satoshi() -> Asset {
    format!("{REGTEST}/slip44:1").parse().unwrap()
}

fn account(wallet: &Wallet) -> Account {
    format!("{REGTEST}:{}", wallet.address()).parse().unwrap()
}

/// Pays into an account from the node's own money; the payment waits for a block.
async fn pay(node: &Bcoin, to: &Account, amount: u128) -> TransferId {
    let to: bitcoin::Address<_> = to.address().parse().unwrap();
    let paid = node.fund(&to.assume_checked(), amount.try_into().unwrap()).await.unwrap();
    let transaction = paid.compute_txid().to_string();
    TransferId { chain: REGTEST.parse().unwrap(), transaction, index: TransferIndex::Output(0) }
}

/// Mines until the wallet was paid this much altogether.
async fn paid_out(node: &Bcoin, wallet: &mut Wallet, amount: u128) {
    eventually("it is paid on the chain", async || {
        let block = node.mine(1).await.unwrap()[0];
        let block = node.block(block).await.unwrap();
        block.txdata.iter().for_each(|transaction| wallet.note(transaction));
        (u128::from(wallet.balance()) == amount).then_some(())
    })
    .await;
}

#[tokio::test]
async fn coins_are_credited_swept_withheld_and_paid_on_bitcoin_as_elsewhere() {
    let mut scene = Scene::with_bitcoin().await;
    let described = scene.exchange.describe(DescribeRequest {}).await.unwrap().into_inner();
    let chains: Vec<_> = described.chains.iter().map(|chain| chain.chain.as_str()).collect();
    assert_eq!(chains, ["eip155:31337", REGTEST]);
    let accounts = scene.deposit_accounts("mallory").await;
    assert_eq!(accounts, scene.deposit_accounts("mallory").await, "the same customer keeps the addresses");
    let deposit = accounts[1].clone();

    // Money of one's own, credited after two confirmations and swept.
    pay(scene.bitcoin(), &deposit, BITCOIN).await;
    scene.bitcoin().mine(1).await.unwrap();
    scene.pending_of("mallory", &satoshi(), BITCOIN).await;
    assert_eq!(total(&scene.balance("mallory", &satoshi()).await), 0, "one confirmation is not enough");
    scene.bitcoin().mine(1).await.unwrap();
    scene.credited_of("mallory", &satoshi(), BITCOIN).await;

    // Stolen money: binding before the credit, withheld as it is credited.
    let stolen = pay(scene.bitcoin(), &deposit, 2 * BITCOIN).await;
    let case = Case::standing(&deposit, &satoshi(), &[(stolen, 2 * BITCOIN)]);
    let mut events = scene.follow("", 0, 0).await;
    scene.bitcoin().mine(1).await.unwrap();
    assert_eq!(scene.freeze(&case, 1, 2 * BITCOIN).await.state, LegState::Binding);
    scene.bitcoin().mine(1).await.unwrap();
    let (_, frozen) = events.until(&case, LegState::FrozenFull).await;
    assert_eq!(frozen, (2 * BITCOIN).to_string());

    let mut home = Wallet::new(Kind::P2tr, "mallory at home");
    let out = account(&home);
    let refused = scene.withdraw_to("mallory", &satoshi(), BITCOIN + 1, &out).await;
    assert_eq!(refused.outcome(), WithdrawalOutcome::Frozen);
    let paid = scene.withdraw_to("mallory", &satoshi(), BITCOIN, &out).await;
    assert_eq!(paid.outcome(), WithdrawalOutcome::Paid, "what was there before is not under the freeze");
    paid_out(scene.bitcoin(), &mut home, BITCOIN).await;
    assert_eq!(scene.release(&case, 2).await.state, LegState::Released);
    // Fees are the exchange's; it needs money of its own for them.
    let node = scene.bitcoin();
    node.fund(&hot_wallet(), u64::try_from(BITCOIN).unwrap()).await.unwrap();
    node.mine(1).await.unwrap();
    let rest = scene.withdraw_to("mallory", &satoshi(), 2 * BITCOIN, &out).await;
    assert_eq!(rest.outcome(), WithdrawalOutcome::Paid);
    paid_out(scene.bitcoin(), &mut home, 3 * BITCOIN).await;
    assert_eq!(total(&scene.balance("mallory", &satoshi()).await), 0);

    // The other chain is not touched by any of it.
    scene.deposit("mallory", ETHER).await;
    assert_eq!(total(&scene.balance("mallory", &coin()).await), ETHER);
}

/// Its key is the scene's hot key.
fn hot_wallet() -> bitcoin::Address {
    use bitcoin::secp256k1::{Secp256k1, SecretKey};
    let key = SecretKey::from_slice(&[0x11; 32]).unwrap();
    let public = bitcoin::CompressedPublicKey(key.public_key(&Secp256k1::new()));
    bitcoin::Address::p2wpkh(&public, bitcoin::KnownHrp::Regtest)
}

#[tokio::test]
async fn a_deposit_that_a_reorganisation_moves_is_credited_once_and_one_that_it_loses_never() {
    let mut scene = Scene::with_bitcoin().await;
    let deposit = scene.deposit_accounts("mallory").await.remove(1);
    pay(scene.bitcoin(), &deposit, BITCOIN).await;
    scene.bitcoin().mine(1).await.unwrap();
    scene.pending_of("mallory", &satoshi(), BITCOIN).await;

    // The same transaction in another block of the same height.
    scene.bitcoin().reorganise(1, 2).await.unwrap();
    scene.credited_of("mallory", &satoshi(), BITCOIN).await;
    assert_eq!(scene.balance("mallory", &satoshi()).await.pending, "0");

    // A branch without what another customer was paid.
    let other = scene.deposit_accounts("ji-eun").await.remove(1);
    pay(scene.bitcoin(), &other, BITCOIN).await;
    scene.bitcoin().mine(1).await.unwrap();
    scene.pending_of("ji-eun", &satoshi(), BITCOIN).await;
    let node = scene.bitcoin();
    let lost = node.tip().await.unwrap();
    let before = node.block(lost).await.unwrap().header.prev_blockhash;
    let one = node.mine_on(before, &[]).await.unwrap();
    node.mine_on(one, &[]).await.unwrap();
    scene.pending_of("ji-eun", &satoshi(), 0).await;
    assert_eq!(total(&scene.balance("ji-eun", &satoshi()).await), 0);
    assert_eq!(total(&scene.balance("mallory", &satoshi()).await), BITCOIN, "what was credited stays, once");
}

#[tokio::test]
async fn whose_wallet_it_is_is_answered_for_bitcoin_addresses_too() {
    let mut scene = Scene::with_bitcoin().await;
    let deposit = scene.deposit_accounts("mallory").await.remove(1);
    let stranger = account(&Wallet::new(Kind::P2wpkh, "a stranger"));
    let hot: Account = format!("{REGTEST}:{}", hot_wallet()).parse().unwrap();
    let expected = [
        (deposit, ConfirmationAnswer::Held, Some(WalletRole::CustomerDeposit)),
        (stranger, ConfirmationAnswer::NotHeld, None),
        (hot, ConfirmationAnswer::Held, Some(WalletRole::ExchangeOwn)),
    ];
    for (target, answer, role) in expected {
        let case = Case::now(&target, &satoshi());
        let order = scene.police.sign(&case, &case.question(1)).await;
        let confirmation = scene.submit(&order).await.confirmation.unwrap();
        assert_eq!((confirmation.answer, confirmation.wallet_role), (answer, role));
    }
}
