//! Everybody's wallets on the rehearsal chain: a real node, the rehearsal token and the swap.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use alloy::{
    network::{Ethereum, EthereumWallet, NetworkTransactionBuilder, TransactionBuilder},
    primitives::{Address, B256, Bytes, U256, keccak256},
    providers::{DynProvider, Provider, ProviderBuilder, WsConnect},
    rpc::types::TransactionRequest,
    signers::local::PrivateKeySigner,
    sol,
    sol_types::{SolCall, SolValue},
};
use anyhow::{Context, Result, bail};
use futures::StreamExt;
use haetae_testkit::anvil::Anvil;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::house::{CHAIN, EXCHANGES, hot_wallet};

sol! {
    /// The calls of the rehearsal contracts; the sources are beside the bytecode.
    interface Rehearsal {
        function transfer(address to, uint256 value) external returns (bool);
        function approve(address spender, uint256 value) external returns (bool);
        function balanceOf(address owner) external view returns (uint256);
        function swap(uint256 value) external;
    }
}

/// Creation bytecode of the rehearsal contracts; a test compiles the sources and compares.
pub const BYTECODE: &str = include_str!("../contracts/bytecode.json");

/// Someone with a wallet. The key follows from the name, so that a case is the same each time.
#[derive(Clone, Debug)]
pub struct Actor {
    name: String,
    signer: PrivateKeySigner,
}

impl Actor {
    /// The wallet of that name.
    pub fn named(name: &str) -> Self {
        let key = keccak256(format!("haetae rehearsal wallet: {name}"));
        let signer = PrivateKeySigner::from_bytes(&key).unwrap_or_else(|_| PrivateKeySigner::random());
        Self { name: name.to_owned(), signer }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// Its private key in hexadecimal, for a program that is to own the wallet.
    pub fn key(&self) -> String {
        hex::encode(self.signer.to_bytes())
    }

    /// Where the same key takes money on the rehearsal's Bitcoin.
    ///
    /// # Errors
    /// Never: a key of the one curve is a key of the other's.
    pub fn on_bitcoin(&self) -> Result<bitcoin::Address> {
        let key = bitcoin::secp256k1::SecretKey::from_slice(&self.signer.to_bytes()[..])?;
        let public = bitcoin::CompressedPublicKey(key.public_key(&bitcoin::secp256k1::Secp256k1::new()));
        Ok(bitcoin::Address::p2wpkh(&public, bitcoin::KnownHrp::Regtest))
    }

    /// Its account (CAIP-10).
    pub fn account(&self) -> String {
        format!("{CHAIN}:{}", self.address().to_checksum(None))
    }
}

/// When each block was first heard of.
type Stamps = Arc<Mutex<HashMap<B256, SystemTime>>>;

/// The chain, and the contracts on it.
pub struct Chain {
    anvil: Anvil,
    provider: DynProvider,
    token: Address,
    swap: Address,
    stamps: Stamps,
    listeners: Vec<JoinHandle<()>>,
}

impl Drop for Chain {
    fn drop(&mut self) {
        for listener in &self.listeners {
            listener.abort();
        }
    }
}

/// How long a transaction may take to be mined.
const MINED: Duration = Duration::from_secs(15);

impl Chain {
    /// Puts the contracts on the chain and begins to note when blocks are heard of, on two subscriptions.
    ///
    /// # Errors
    /// When the node does not do it.
    pub async fn begin(anvil: Anvil) -> Result<Self> {
        let provider = ProviderBuilder::new().connect_http(anvil.http_url().parse()?).erased();
        let stamps = Stamps::default();
        let mut chain = Self {
            provider,
            token: Address::ZERO,
            swap: Address::ZERO,
            stamps: Arc::clone(&stamps),
            listeners: Vec::new(),
            anvil,
        };
        for _ in 0..2 {
            let provider = ProviderBuilder::new().connect_ws(WsConnect::new(chain.anvil.ws_url())).await?;
            let mut heads = provider.subscribe_blocks().await?.into_stream();
            let stamps = Arc::clone(&stamps);
            chain.listeners.push(tokio::spawn(async move {
                // The provider is moved in so that the subscription lives as long as the task.
                let _provider = provider;
                while let Some(head) = heads.next().await {
                    let now = SystemTime::now();
                    if let Ok(mut stamps) = stamps.lock() {
                        stamps.entry(head.hash).or_insert(now);
                    }
                }
            }));
        }
        let maker = Actor::named("maker");
        chain.give_coins(maker.address(), 10_000 * ETHER).await?;
        let bytecode: HashMap<String, Bytes> = serde_json::from_str(BYTECODE)?;
        let supply = U256::from(1_000_000_000u64 * TOKEN);
        chain.token = chain.deploy(&maker, &bytecode["RehearsalToken"], &supply.abi_encode(), 0).await?;
        for (exchange, _) in EXCHANGES {
            chain.give_coins(hot_wallet(exchange).address(), 100 * ETHER).await?;
        }
        let terms = (chain.token, U256::from(1_000_000_000u64)).abi_encode_params();
        chain.swap = chain.deploy(&maker, &bytecode["RehearsalSwap"], &terms, 1_000 * ETHER).await?;
        Ok(chain)
    }

    /// HTTP and WebSocket address of the node.
    pub fn node(&self) -> (String, String) {
        (self.anvil.http_url(), self.anvil.ws_url())
    }

    /// The node itself.
    pub fn anvil(&self) -> &Anvil {
        &self.anvil
    }

    /// The token (CAIP-19).
    pub fn token(&self) -> String {
        format!("{CHAIN}/erc20:{}", self.token.to_checksum(None))
    }

    /// The swap's address.
    pub fn swap_address(&self) -> Address {
        self.swap
    }

    /// When the block was first heard of, on the earlier of two subscriptions.
    pub fn first_heard(&self, block_hash: &str) -> Option<SystemTime> {
        let hash: B256 = block_hash.parse().ok()?;
        self.stamps.lock().ok()?.get(&hash).copied()
    }

    /// A transaction as it was signed, for [`send_again`](Self::send_again).
    ///
    /// # Errors
    /// When the node does not know it.
    pub async fn raw(&self, transaction: B256) -> Result<Bytes> {
        let raw = self.anvil.rpc("eth_getRawTransactionByHash", json!([transaction])).await?;
        Ok(serde_json::from_value(raw)?)
    }

    /// Hands a transaction in that left the chain, as nodes that kept it do, and waits until it is mined.
    ///
    /// # Errors
    /// When the node does not take it.
    pub async fn send_again(&self, raw: &Bytes) -> Result<B256> {
        let sent = self.anvil.rpc("eth_sendRawTransaction", json!([raw])).await?;
        self.mined(serde_json::from_value(sent)?).await
    }

    /// Replaces the newest `depth` blocks by others without any transactions.
    ///
    /// # Errors
    /// When the node does not do it.
    pub async fn reorganise(&self, depth: u64) -> Result<()> {
        self.anvil.rpc("anvil_reorg", json!([depth, []])).await.map(drop)
    }

    /// Gives an address coins from nowhere.
    ///
    /// # Errors
    /// When the node does not do it.
    pub async fn give_coins(&self, to: Address, amount: u128) -> Result<()> {
        let _: Value = self.anvil.rpc("anvil_setBalance", json!([to, U256::from(amount)])).await?;
        Ok(())
    }

    /// Gives an address tokens from the maker's.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn give_tokens(&self, to: Address, amount: u128) -> Result<()> {
        self.send_tokens(&Actor::named("maker"), to, amount).await.map(drop)
    }

    /// Sends coins and waits until they are mined. The hash of the transaction.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn send_coins(&self, from: &Actor, to: Address, amount: u128) -> Result<B256> {
        self.mined(self.submit(from, TransactionRequest::default().to(to).value(U256::from(amount)), 0).await?).await
    }

    /// Sends tokens and waits until they are mined.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn send_tokens(&self, from: &Actor, to: Address, amount: u128) -> Result<B256> {
        let call = Rehearsal::transferCall { to, value: U256::from(amount) };
        self.mined(self.submit(from, self.call_token(call.abi_encode()), 0).await?).await
    }

    /// Changes tokens into coins through the swap.
    ///
    /// # Errors
    /// When a transaction fails.
    pub async fn swap_tokens(&self, from: &Actor, amount: u128) -> Result<B256> {
        let value = U256::from(amount);
        let approve = Rehearsal::approveCall { spender: self.swap, value };
        self.submit(from, self.call_token(approve.abi_encode()), 0).await?;
        let swap = Rehearsal::swapCall { value };
        let request = TransactionRequest::default().to(self.swap).input(Bytes::from(swap.abi_encode()).into());
        self.mined(self.submit(from, request, 1).await?).await
    }

    /// Several transfers of one wallet in one go, so that they come into one block: (to, coins or tokens, amount).
    ///
    /// # Errors
    /// When one fails.
    pub async fn split(&self, from: &Actor, parts: &[(Address, Kind, u128)]) -> Result<()> {
        let mut sent = Vec::new();
        for (place, (to, kind, amount)) in parts.iter().enumerate() {
            let request = match kind {
                Kind::Coins => TransactionRequest::default().to(*to).value(U256::from(*amount)),
                Kind::Tokens => {
                    self.call_token(Rehearsal::transferCall { to: *to, value: U256::from(*amount) }.abi_encode())
                }
            };
            sent.push(self.submit(from, request, u64::try_from(place)?).await?);
        }
        for hash in sent {
            self.mined(hash).await?;
        }
        Ok(())
    }

    /// Tokens of an address.
    ///
    /// # Errors
    /// When the node does not say.
    pub async fn tokens_of(&self, owner: Address) -> Result<U256> {
        let call = Rehearsal::balanceOfCall { owner };
        let answer = self.provider.call(self.call_token(call.abi_encode())).await?;
        Ok(Rehearsal::balanceOfCall::abi_decode_returns(&answer)?)
    }

    /// Coins of an address.
    ///
    /// # Errors
    /// When the node does not say.
    pub async fn coins_of(&self, owner: Address) -> Result<U256> {
        Ok(self.provider.get_balance(owner).await?)
    }

    fn call_token(&self, input: Vec<u8>) -> TransactionRequest {
        TransactionRequest::default().to(self.token).input(Bytes::from(input).into())
    }

    async fn deploy(&self, maker: &Actor, code: &Bytes, arguments: &[u8], value: u128) -> Result<Address> {
        let code = [code, arguments].concat();
        let request = TransactionRequest::default().with_deploy_code(code).value(U256::from(value));
        let hash = self.submit(maker, request, 0).await?;
        let _: Value = self.anvil.rpc("evm_mine", json!([])).await?;
        self.mined(hash).await?;
        let receipt = self.provider.get_transaction_receipt(hash).await?.context("no receipt")?;
        receipt.contract_address.context("nothing was deployed")
    }

    /// Signs and sends; `ahead` transactions of the same wallet are on their way.
    async fn submit(&self, from: &Actor, request: TransactionRequest, ahead: u64) -> Result<B256> {
        let nonce = match ahead {
            0 => self.provider.get_transaction_count(from.address()).await?,
            _ => self.provider.get_transaction_count(from.address()).pending().await?,
        };
        let fees = self.provider.estimate_eip1559_fees().await?;
        let request = request
            .from(from.address())
            .nonce(nonce)
            .gas_limit(1_500_000)
            .max_fee_per_gas(fees.max_fee_per_gas * 4)
            .max_priority_fee_per_gas(fees.max_priority_fee_per_gas)
            .with_chain_id(31_337);
        let wallet = EthereumWallet::from(from.signer.clone());
        let envelope = NetworkTransactionBuilder::<Ethereum>::build(request, &wallet).await?;
        Ok(*self.provider.send_tx_envelope(envelope).await?.tx_hash())
    }

    async fn mined(&self, hash: B256) -> Result<B256> {
        let receipt = crate::until("a transaction is mined", MINED, async || {
            Ok(self.provider.get_transaction_receipt(hash).await?)
        })
        .await?;
        if !receipt.status() {
            bail!("a transaction was reverted");
        }
        Ok(hash)
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The chain's own coin.
    Coins,
    /// The rehearsal token.
    Tokens,
}

/// One ether in wei.
pub const ETHER: u128 = 1_000_000_000_000_000_000;

/// One token in its smallest unit.
pub const TOKEN: u64 = 1_000_000;

/// The address in a CAIP-10 account of the rehearsal chain.
///
/// # Errors
/// When there is none.
pub fn address(account: &str) -> Result<Address> {
    let (_, address) = account.rsplit_once(':').context("not a CAIP-10 account")?;
    Ok(address.parse()?)
}
