//! A node, and money that moves on it.

use std::sync::atomic::{AtomicBool, Ordering};

use alloy_primitives::{Address, U256, keccak256};
use haetae_core::{Account, Asset, ChainId, Moment};
use haetae_testkit::anvil::{Anvil, AnvilOptions};
use serde_json::{Value, json};

use crate::mesh::eventually;

/// Runtime code that emits `Transfer(caller, first word, second word)` whatever it is called with, behind nine bytes that
/// deploy it.
const TOKEN: &str = concat!(
    "60318060093d393df3",
    "602035600052600035337f",
    "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
    "60206000a300"
);

/// The same that takes a fee of 1 to itself: a transfer of what is left, and another of the fee.
const TOKEN_WITH_FEE: &str = concat!(
    "60608060093d393df3",
    "600160203503600052600035337f",
    "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
    "60206000a3",
    "600160005230337f",
    "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
    "60206000a300"
);

/// Runtime code that emits as many such events as the third word says, each of the amount in the second: to the address in the
/// first word and those that follow it, the last first. Behind nine bytes that deploy it.
const BATCH_TOKEN: &str = concat!(
    "60448060093d393df3",
    "602035600052604035",
    "5b8015604257600190038060003501337f",
    "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
    "60206000a36009565b00"
);

/// Runtime code that has another contract's code do what it is called with (EIP-1167), around that contract's address.
const PROXY: [&str; 2] = ["602d8060093d393df3363d3d373d3d3d363d73", "5af43d82803e903d91602b57fd5bf3"];

/// Runtime code that pays what it is called with to the account in the first word, behind nine bytes that deploy it.
const FORWARDER: &str = concat!("600f8060093d393df3", "6000600060006000346000355af100");

pub(crate) struct Chain {
    automine: AtomicBool,
    free: AtomicBool,
    pub(crate) anvil: Anvil,
    pub(crate) accounts: Vec<Address>,
    pub(crate) token: Address,
}

impl Chain {
    /// A block for each transaction, and a token.
    pub(crate) async fn start() -> Self {
        let anvil = Anvil::start(AnvilOptions::default()).await.unwrap();
        let accounts = anvil.rpc("eth_accounts", json!([])).await.unwrap();
        let accounts: Vec<Address> = serde_json::from_value(accounts).unwrap();
        let token = deploy(&anvil, accounts[9], &deployable()).await;
        Self { automine: AtomicBool::new(true), free: AtomicBool::new(false), anvil, accounts, token }
    }

    pub(crate) fn id() -> ChainId {
        ChainId::evm(31_337)
    }

    pub(crate) fn account(&self, n: usize) -> Account {
        Account::evm(Self::id(), self.accounts[n])
    }

    pub(crate) fn coin() -> Asset {
        Asset::evm_native(Self::id())
    }

    pub(crate) fn token(&self) -> Asset {
        Asset::erc20(Self::id(), self.token)
    }

    /// Gives the transaction's hash.
    pub(crate) async fn pay(&self, from: usize, to: usize, amount: u64) -> String {
        self.pay_to(from, self.accounts[to], amount).await
    }

    pub(crate) async fn pay_to(&self, from: usize, to: Address, amount: u64) -> String {
        self.send(json!({"from": self.accounts[from], "to": to, "value": U256::from(amount)})).await
    }

    /// A payment with more said of it: what it calls, what gas it takes and at what price.
    pub(crate) async fn pay_with(&self, from: usize, to: Address, amount: u64, more: Value) -> String {
        let mut transaction = json!({"from": self.accounts[from], "to": to, "value": U256::from(amount)});
        transaction.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.send(transaction).await
    }

    /// Another payment in the place of one that waits, at twice its price.
    pub(crate) async fn pay_instead(&self, of: &str, to: usize, amount: u64) -> String {
        let waits = self.anvil.rpc("eth_getTransactionByHash", json!([of])).await.unwrap();
        let price = serde_json::from_value::<U256>(waits["gasPrice"].clone()).unwrap() * U256::from(2);
        self.send(json!({
            "from": waits["from"], "to": self.accounts[to], "value": U256::from(amount), "nonce": waits["nonce"],
            "gasPrice": price
        }))
        .await
    }

    /// The transactions of the block that the node would make next.
    pub(crate) async fn next_block(&self) -> Vec<String> {
        let next = self.anvil.rpc("eth_getBlockByNumber", json!(["pending", false])).await.unwrap();
        serde_json::from_value(next["transactions"].clone()).unwrap()
    }

    /// A contract that passes on what it is paid.
    pub(crate) async fn forwarder(&self) -> Address {
        deploy(&self.anvil, self.accounts[9], FORWARDER).await
    }

    /// Has a forwarder pay an account.
    pub(crate) async fn pay_through(&self, forwarder: Address, from: usize, to: usize, amount: u64) -> String {
        let (data, value) = (self.accounts[to].into_word(), U256::from(amount));
        let from = self.accounts[from];
        self.send(json!({"from": from, "to": forwarder, "data": data, "value": value, "gas": "0x20000"})).await
    }

    /// A token that takes a fee of each transfer.
    pub(crate) async fn token_with_fee(&self) -> Address {
        deploy(&self.anvil, self.accounts[9], TOKEN_WITH_FEE).await
    }

    /// A token whose contract pays many at once.
    pub(crate) async fn batch_token(&self) -> Address {
        deploy(&self.anvil, self.accounts[9], BATCH_TOKEN).await
    }

    /// Has it pay so many addresses in a row, from this one on.
    pub(crate) async fn pay_batch(&self, token: Address, from: usize, to: Address, amount: u64, count: u64) -> String {
        let words = [to.into_word(), U256::from(amount).into(), U256::from(count).into()];
        let data = alloy_primitives::hex::encode_prefixed(words.concat());
        self.send(json!({"from": self.accounts[from], "to": token, "data": data, "gas": "0x200000"})).await
    }

    /// A contract that stands before another.
    pub(crate) async fn proxy(&self, of: Address) -> Address {
        let [before, after] = PROXY;
        let code = format!("{before}{}{after}", alloy_primitives::hex::encode(of));
        deploy(&self.anvil, self.accounts[9], &code).await
    }

    /// A contract that says the same as the token.
    pub(crate) async fn another_token(&self) -> Address {
        deploy(&self.anvil, self.accounts[9], &deployable()).await
    }

    pub(crate) async fn pay_token(&self, from: usize, to: usize, amount: u64) -> String {
        self.pay_token_of(self.token, from, self.accounts[to], U256::from(amount)).await
    }

    pub(crate) async fn pay_token_of(&self, token: Address, from: usize, to: Address, amount: U256) -> String {
        let mut data = to.into_word().to_vec();
        data.extend(amount.to_be_bytes::<32>());
        let data = alloy_primitives::hex::encode_prefixed(data);
        self.send(json!({"from": self.accounts[from], "to": token, "data": data, "gas": "0x20000"})).await
    }

    async fn send(&self, mut transaction: Value) -> String {
        if self.free.load(Ordering::Relaxed) {
            transaction["gasPrice"] = json!("0x0");
        }
        let hash = self.anvil.rpc("eth_sendTransaction", json!([transaction])).await.unwrap();
        if self.automine.load(Ordering::Relaxed) {
            receipt(&self.anvil, &hash).await;
        }
        hash.as_str().unwrap().to_owned()
    }

    /// Payments cost nothing from here on.
    pub(crate) async fn without_gas(&self) {
        self.anvil.rpc("anvil_setNextBlockBaseFeePerGas", json!(["0x0"])).await.unwrap();
        self.mine(1).await;
        self.free.store(true, Ordering::Relaxed);
    }

    /// Gives an account so many coins and no others.
    pub(crate) async fn endow(&self, account: usize, coins: u64) {
        self.anvil.rpc("anvil_setBalance", json!([self.accounts[account], U256::from(coins)])).await.unwrap();
        self.mine(1).await;
    }

    pub(crate) async fn balance(&self, account: usize) -> U256 {
        let balance = self.anvil.rpc("eth_getBalance", json!([self.accounts[account], "latest"])).await.unwrap();
        serde_json::from_value(balance).unwrap()
    }

    /// What a transaction cost its sender.
    pub(crate) async fn cost_of(&self, transaction: &str) -> U256 {
        let receipt = receipt(&self.anvil, &json!(transaction)).await;
        let part = |name: &str| serde_json::from_value::<U256>(receipt[name].clone()).unwrap();
        part("gasUsed") * part("effectiveGasPrice")
    }

    /// Number of the block that a transaction is in.
    pub(crate) async fn block_of(&self, transaction: &str) -> u64 {
        let receipt = receipt(&self.anvil, &json!(transaction)).await;
        serde_json::from_value::<U256>(receipt["blockNumber"].clone()).unwrap().to()
    }

    /// The time that a block states.
    pub(crate) async fn time_of(&self, number: u64) -> Moment {
        let block = self.anvil.rpc("eth_getBlockByNumber", json!([U256::from(number), false])).await.unwrap();
        let seconds: U256 = serde_json::from_value(block["timestamp"].clone()).unwrap();
        Moment::from_unix_timestamp(seconds.to()).unwrap()
    }

    /// Blocks that state times so many seconds apart.
    pub(crate) async fn mine_ahead(&self, blocks: u64, seconds: u64) {
        for blocks in in_parts(blocks) {
            self.anvil.rpc("anvil_mine", json!([U256::from(blocks), U256::from(seconds)])).await.unwrap();
        }
    }

    pub(crate) async fn mine(&self, blocks: u64) {
        for blocks in in_parts(blocks) {
            self.anvil.rpc("anvil_mine", json!([U256::from(blocks)])).await.unwrap();
        }
    }

    /// Transactions wait from here on until a block is mined.
    pub(crate) async fn automine(&self, on: bool) {
        self.anvil.rpc("evm_setAutomine", json!([on])).await.unwrap();
        self.automine.store(on, Ordering::Relaxed);
    }

    pub(crate) async fn number(&self) -> u64 {
        let number = self.anvil.rpc("eth_blockNumber", json!([])).await.unwrap();
        serde_json::from_value::<U256>(number).unwrap().to()
    }

    /// The last blocks are replaced by as many empty ones.
    pub(crate) async fn reorg(&self, depth: u64) {
        self.anvil.rpc("anvil_reorg", json!([depth, []])).await.unwrap();
    }

    /// The last blocks are replaced by as many others: the first of them without the transaction that was in one of them,
    /// the second with it.
    pub(crate) async fn reorg_moving(&self, depth: u64, raw: &Value) {
        self.anvil.rpc("anvil_reorg", json!([depth, [[raw, 1]]])).await.unwrap();
    }

    /// A transaction as it was signed, to be sent again.
    pub(crate) async fn raw(&self, hash: &str) -> Value {
        self.anvil.rpc("eth_getRawTransactionByHash", json!([hash])).await.unwrap()
    }

    pub(crate) async fn send_raw(&self, raw: Value) -> String {
        let hash = self.anvil.rpc("eth_sendRawTransaction", json!([raw])).await.unwrap();
        hash.as_str().unwrap().to_owned()
    }
}

/// The node does not answer in time to mining very many blocks.
fn in_parts(blocks: u64) -> impl Iterator<Item = u64> {
    (0..blocks).step_by(500).map(move |mined| (blocks - mined).min(500))
}

async fn deploy(anvil: &Anvil, from: Address, code: &str) -> Address {
    let deploy = json!([{"from": from, "data": format!("0x{code}")}]);
    let hash = anvil.rpc("eth_sendTransaction", deploy).await.unwrap();
    serde_json::from_value(receipt(anvil, &hash).await["contractAddress"].clone()).unwrap()
}

/// The node answers before it has mined.
async fn receipt(anvil: &Anvil, hash: &Value) -> Value {
    let mut receipt = Value::Null;
    eventually("the transaction is mined", async || {
        receipt = anvil.rpc("eth_getTransactionReceipt", json!([hash])).await.unwrap();
        !receipt.is_null()
    })
    .await;
    receipt
}

fn deployable() -> String {
    assert_eq!(keccak256("Transfer(address,address,uint256)").to_string(), format!("0x{}", &TOKEN[40..104]));
    TOKEN.to_owned()
}
