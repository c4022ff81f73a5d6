//! Bitcoin: money in outputs that are spent whole. Everything of the exchange's is locked by a key's hash (SegWit version 0).

mod node;
mod payment;

use anyhow::{Context, ensure};
use bitcoin::absolute::LockTime;
use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::hashes::Hash as _;
use bitcoin::secp256k1::{Message, Secp256k1, SecretKey, SignOnly};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::transaction::Version;
use bitcoin::{
    Address, CompressedPublicKey, Network as Chain, OutPoint, PrivateKey, ScriptBuf, Sequence, Transaction, TxIn,
    TxOut, Witness, ecdsa,
};
use haetae_core::{Account, Amount, Asset, ChainId, TransferIndex};
use sqlx::PgConnection;

use super::db::{self, Coin, Signed, ToSweep, Unpaid};
use super::network::{Block, Header, Network, Transfer, Work, know_wallet};
use super::vault::Vault;
use node::{Node, Place};
use payment::{Payment, gather, pay};

/// One such chain.
#[derive(Debug)]
pub(crate) struct Bitcoin {
    chain: ChainId,
    coin: Asset,
    network: Chain,
    node: Node,
    vault: Vault,
    hot: Wallet,
    secp: Secp256k1<SignOnly>,
}

/// A key, and the account that it opens. The key is not shown by `Debug` (secp256k1 hides it).
#[derive(Clone, Debug)]
struct Wallet {
    key: SecretKey,
    account: Account,
    script: ScriptBuf,
}

impl Bitcoin {
    /// `url` is a node's JSON-RPC over HTTP, with user and password.
    pub(crate) fn new(network: Chain, url: &str, vault: Vault) -> anyhow::Result<Self> {
        let chain = ChainId::bitcoin(network).context("a network of Bitcoin without an agreed name")?;
        let coin = Asset::coin(chain.clone()).context("a chain without a coin")?;
        let secp = Secp256k1::signing_only();
        let hot =
            SecretKey::from_slice(vault.hot().as_slice()).context("the hot wallet's key is not a key of the curve")?;
        let hot = wallet(&secp, &chain, network, hot);
        Ok(Self { chain, coin, network, node: Node::new(url)?, vault, hot, secp })
    }

    fn deposit_wallet(&self, customer: i64) -> Wallet {
        let read = |key: &alloy::primitives::B256| SecretKey::from_slice(key.as_slice()).ok();
        wallet(&self.secp, &self.chain, self.network, self.vault.deposit(b"deposit on bitcoin", customer, read))
    }

    /// Signs what pays a withdrawal, if the hot wallet has it; else it waits for sweeps.
    async fn pay(&self, tx: &mut PgConnection, unpaid: &Unpaid) -> anyhow::Result<bool> {
        let to: Account = format!("{}:{}", self.chain, unpaid.destination).parse().context("a stored destination")?;
        let amount = satoshi(unpaid.amount()?).context("more than there is")?;
        let coins = db::hot_coins(tx, &self.hot.account).await?;
        let Some(payment) = pay(&coins, amount) else { return Ok(false) };
        let script = to.script().context("a destination without a script")?;
        let paid = TxOut { value: bitcoin::Amount::from_sat(amount), script_pubkey: script };
        let transaction = self.sign_payment(tx, &self.hot, "withdrawal", Some((&to, paid)), &payment).await?;
        db::paid(tx, unpaid.withdrawal_id, &transaction).await?;
        Ok(true)
    }

    async fn sweep(&self, tx: &mut PgConnection, sweep: &ToSweep) -> anyhow::Result<bool> {
        let coins = db::credited_coins(tx, &self.chain, &sweep.address).await?;
        let Some(payment) = gather(&coins) else {
            db::swept(tx, &self.chain, sweep).await?;
            return Ok(false);
        };
        let wallet = self.deposit_wallet(sweep.customer_id);
        know_wallet(self, tx, &wallet.account).await?;
        self.sign_payment(tx, &wallet, "sweep", None, &payment).await?;
        Ok(true)
    }

    /// Signs a wallet's next transaction and stores it to be sent; what comes back goes to the hot wallet.
    async fn sign_payment(
        &self,
        tx: &mut PgConnection,
        wallet: &Wallet,
        purpose: &'static str,
        paid: Option<(&Account, TxOut)>,
        payment: &Payment,
    ) -> anyhow::Result<String> {
        let (recipient, mut output) = match paid {
            Some((to, paid)) => (to, vec![paid]),
            None => (&self.hot.account, Vec::new()),
        };
        if let Some(back) = payment.back {
            output.push(TxOut { value: bitcoin::Amount::from_sat(back), script_pubkey: self.hot.script.clone() });
        }
        let change = u32::try_from(output.len())?.saturating_sub(1);
        let signed = signed(&self.secp, wallet, &payment.coins, output)?;
        let id = signed.compute_txid().to_string();
        let nonce = db::next_nonce(tx, &wallet.account).await?;
        let (sender, recipient) = (wallet.account.clone(), recipient.address().to_owned());
        let signed = Signed { transaction: id, sender, nonce, recipient, purpose, raw: serialize(&signed) };
        db::put_outgoing(tx, &signed).await?;
        db::spend(tx, &self.chain, &payment.coins, &signed.transaction).await?;
        if let Some(back) = payment.back {
            db::put_change(tx, &self.hot.account, &signed.transaction, change, back).await?;
        }
        Ok(signed.transaction)
    }
}

#[tonic::async_trait]
impl Network for Bitcoin {
    fn chain(&self) -> &ChainId {
        &self.chain
    }

    async fn found(&self) -> anyhow::Result<String> {
        let genesis = self.node.hash_at(0).await?.context("a chain without a first block")?;
        Ok(format!("bip122:{}", &genesis.to_string()[..32]))
    }

    fn hot(&self) -> Account {
        self.hot.account.clone()
    }

    fn deposit(&self, customer: i64) -> Account {
        self.deposit_wallet(customer).account
    }

    async fn newest(&self) -> anyhow::Result<Header> {
        Ok(self.node.place(self.node.newest().await?).await?.into())
    }

    async fn at(&self, number: u64) -> anyhow::Result<Option<Header>> {
        match self.node.hash_at(number).await? {
            Some(hash) => Ok(Some(self.node.place(hash).await?.into())),
            None => Ok(None),
        }
    }

    async fn block(&self, number: u64) -> anyhow::Result<Option<Block>> {
        let Some(hash) = self.node.hash_at(number).await? else { return Ok(None) };
        let block = self.node.block(hash).await?;
        ensure!(block.block_hash() == hash, "another block than was asked for");
        let header = Header { number, hash: hash.to_string(), parent: block.header.prev_blockhash.to_string() };
        Ok(Some(read(&self.chain, &self.coin, header, &block)))
    }

    /// Nothing here has a number by its sender; what is stored in its place only keeps an order.
    async fn sent_by(&self, _: &Account) -> anyhow::Result<u64> {
        Ok(0)
    }

    async fn sign(&self, tx: &mut PgConnection, work: &Work) -> anyhow::Result<bool> {
        let mut signed = false;
        for unpaid in &work.unpaid {
            signed |= self.pay(tx, unpaid).await?;
        }
        for sweep in &work.sweeps {
            signed |= self.sweep(tx, sweep).await?;
        }
        Ok(signed)
    }

    async fn send(&self, raw: &[u8]) -> anyhow::Result<()> {
        self.node.send(&deserialize(raw)?).await
    }
}

impl From<Place> for Header {
    fn from(place: Place) -> Self {
        let parent = place.previousblockhash.map(|hash| hash.0.to_string()).unwrap_or_default();
        Self { number: place.height, hash: place.hash.0.to_string(), parent }
    }
}

fn satoshi(amount: Amount) -> Option<u64> {
    amount.to_u256().try_into().ok()
}

fn wallet(secp: &Secp256k1<SignOnly>, chain: &ChainId, network: Chain, key: SecretKey) -> Wallet {
    let public = CompressedPublicKey(PrivateKey::new(key, network).public_key(secp).inner);
    let script = Address::p2wpkh(&public, network).script_pubkey();
    #[expect(clippy::expect_used, reason = "a key's hash has an address on every network of Bitcoin")]
    let account = Account::of_script(chain.clone(), &script).expect("a chain of Bitcoin, a script with an address");
    Wallet { key, account, script }
}

/// The transfers of a block. New coins are not credited here: they would have to rest for a hundred blocks.
fn read(chain: &ChainId, coin: &Asset, header: Header, block: &bitcoin::Block) -> Block {
    let transactions = block.txdata.iter().map(|transaction| transaction.compute_txid().to_string()).collect();
    let transfers = block
        .txdata
        .iter()
        .filter(|transaction| !transaction.is_coinbase())
        .flat_map(|transaction| {
            let id = transaction.compute_txid().to_string();
            transaction.output.iter().zip(0..).filter_map(move |(output, at)| {
                let to = Account::of_script(chain.clone(), &output.script_pubkey)?;
                (output.value > bitcoin::Amount::ZERO).then(|| Transfer {
                    transaction: id.clone(),
                    index: TransferIndex::Output(at),
                    to,
                    asset: coin.clone(),
                    amount: Amount::from(output.value.to_sat()),
                })
            })
        })
        .collect();
    Block { header, transactions, transfers }
}

/// A transaction that spends coins of one wallet.
fn signed(
    secp: &Secp256k1<SignOnly>,
    wallet: &Wallet,
    coins: &[Coin],
    output: Vec<TxOut>,
) -> anyhow::Result<Transaction> {
    let mut input = Vec::new();
    for coin in coins {
        let previous_output = OutPoint { txid: coin.transaction.parse()?, vout: coin.output() };
        input.push(TxIn { previous_output, sequence: Sequence::MAX, ..TxIn::default() });
    }
    let mut transaction = Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input, output };
    let public = wallet.key.public_key(secp);
    let mut witnesses = Vec::new();
    let mut cache = SighashCache::new(&transaction);
    for (at, coin) in coins.iter().enumerate() {
        let value = bitcoin::Amount::from_sat(coin.amount());
        let hash = cache.p2wpkh_signature_hash(at, &wallet.script, value, EcdsaSighashType::All)?;
        let signature = secp.sign_ecdsa(&Message::from_digest(hash.to_byte_array()), &wallet.key);
        let signature = ecdsa::Signature { signature, sighash_type: EcdsaSighashType::All };
        witnesses.push(Witness::p2wpkh(&signature, &public));
    }
    for (input, witness) in transaction.input.iter_mut().zip(witnesses) {
        input.witness = witness;
    }
    Ok(transaction)
}
