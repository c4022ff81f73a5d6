//! A chain, an exchange on it, and the agency: everything real but the people.

use std::path::Path;
use std::time::Duration;

use alloy::primitives::{Address, U256};
use haetae_core::{Account, Asset, ChainId, Event, LegId, LegReport, LegState, Receipt, TransferId, TransferIndex};
use haetae_mesh::Peer;
use haetae_mesh::config::{PeerConfig, Settings};
use haetae_sandbox::{Addresses, Config, Sandbox};
use haetae_seal::dsse::{Algorithm, SigningKey};
use haetae_testkit::anvil::{Anvil, AnvilOptions};
use haetae_testkit::bcoin::{Bcoin, BcoinOptions, REGTEST};
use haetae_testkit::certs::{Ca, Leaf};
use haetae_testkit::postgres::Database;
use haetae_wire::exchange::v1::{
    AssetAmount, FollowRequest, FollowResponse, GetOrderRequest, SignedOrder, SubmitRequest,
    exchange_service_client::ExchangeServiceClient,
};
use haetae_wire::keys::Keyring;
use haetae_wire::registry::Registry;
use haetae_wire::sandbox::v1::{
    Balance, GetAccountRequest, OpenAccountRequest, WithdrawRequest, WithdrawResponse,
    sandbox_service_client::SandboxServiceClient,
};
use haetae_wire::signed::{open_event, open_receipt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::Streaming;

use crate::police::{Case, Police, exchange};

pub(crate) const ETHER: u128 = 1_000_000_000_000_000_000;
pub(crate) const CHAIN: u64 = 31_337;
const DOMAIN: &str = "spiffe://upbit.test";
const PATIENCE: Duration = Duration::from_secs(30);
const HOT_KEY: [u8; 32] = [0x11; 32];

pub(crate) struct Scene {
    pub(crate) anvil: Anvil,
    pub(crate) police: Police,
    pub(crate) keys: Keyring,
    pub(crate) exchange: ExchangeServiceClient<Peer>,
    pub(crate) control: SandboxServiceClient<Peer>,
    /// A funded account of nobody in particular.
    pub(crate) rich: Address,
    pub(crate) token: Option<Address>,
    bitcoin: Option<Bcoin>,
    running: Option<Running>,
    config: std::path::PathBuf,
    folder: TempDir,
    _db: Database,
}

struct Running {
    addresses: Addresses,
    shutdown: CancellationToken,
    task: AbortOnDropHandle<anyhow::Result<()>>,
}

/// Asks until there is an answer.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not so in time");
        sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn coin() -> Asset {
    Asset::evm_native(ChainId::evm(CHAIN))
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::set(false, None).await
    }

    /// With Bitcoin as a further chain.
    pub(crate) async fn with_bitcoin() -> Self {
        Self::set(false, Some(Bcoin::start(BcoinOptions::default()).await.unwrap())).await
    }

    /// With a token that the exchange takes too.
    pub(crate) async fn with_token() -> Self {
        Self::set(true, None).await
    }

    async fn set(with_token: bool, bitcoin: Option<Bcoin>) -> Self {
        let (anvil, police, db) = tokio::join!(
            Anvil::start(AnvilOptions { chain_id: CHAIN, ..AnvilOptions::default() }),
            Police::new(),
            Database::fresh()
        );
        let (anvil, db) = (anvil.unwrap(), db.unwrap());
        let accounts = anvil.rpc("eth_accounts", json!([])).await.unwrap();
        let rich: Address = accounts[0].as_str().unwrap().parse().unwrap();
        let hot = hot_wallet();
        anvil.rpc("anvil_setBalance", json!([hot, U256::from(ETHER)])).await.unwrap();
        let token = if with_token { Some(deploy_token(&anvil, rich).await) } else { None };

        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate(Algorithm::EcdsaP256Sha256);
        let registry = police.registry(&key);
        let at = folder.path();
        let ca = Ca::new("upbit").unwrap();
        for name in ["exchange", "connector", "operator", "stranger"] {
            let spiffe = format!("{DOMAIN}/{name}");
            let leaf = Leaf { spiffe: Some(&spiffe), ..Leaf::default() };
            ca.issue(&leaf).unwrap().write_to(&at.join(name)).unwrap();
        }
        std::fs::write(at.join("exchanges.toml"), &registry).unwrap();
        std::fs::write(at.join("log.pem"), key.to_pkcs8_pem().as_str()).unwrap();
        std::fs::write(at.join("hot.key"), alloy::hex::encode_prefixed(HOT_KEY)).unwrap();
        std::fs::write(at.join("seed"), alloy::hex::encode_prefixed([0x22; 32])).unwrap();
        let config = at.join("sandbox.toml");
        std::fs::write(&config, configuration(at, &anvil, &db.url, token, bitcoin.as_ref())).unwrap();

        let running = start(&config).await;
        let keys = Keyring::from_registry(&Registry::parse(&registry, at).unwrap());
        Self {
            exchange: ExchangeServiceClient::new(peer(at, "connector", running.addresses.public)),
            control: SandboxServiceClient::new(peer(at, "operator", running.addresses.control)),
            keys,
            anvil,
            police,
            rich,
            token,
            bitcoin,
            running: Some(running),
            config,
            folder,
            _db: db,
        }
    }

    /// Ends the exchange as a crash would.
    pub(crate) async fn kill(&mut self) {
        let running = self.running.take().expect("the exchange runs");
        running.task.abort();
        // Its tasks and connections go with it.
        assert!(running.task.await.unwrap_err().is_cancelled());
    }

    /// Ends it in good order.
    pub(crate) async fn stop(&mut self) {
        let running = self.running.take().expect("the exchange runs");
        running.shutdown.cancel();
        timeout(PATIENCE, running.task).await.expect("it ends in time").unwrap().unwrap();
    }

    pub(crate) async fn restart(&mut self) {
        let running = start(&self.config).await;
        self.exchange = ExchangeServiceClient::new(peer(self.folder.path(), "connector", running.addresses.public));
        self.control = SandboxServiceClient::new(peer(self.folder.path(), "operator", running.addresses.control));
        self.running = Some(running);
    }

    /// One more replica of the exchange, for as long as the answer is kept.
    pub(crate) async fn replica(&self) -> impl Sized + use<> {
        start(&self.config).await
    }

    /// A client of the public contract with the certificate of somebody else.
    pub(crate) fn as_stranger(&self) -> ExchangeServiceClient<Peer> {
        let running = self.running.as_ref().expect("the exchange runs");
        ExchangeServiceClient::new(peer(self.folder.path(), "stranger", running.addresses.public))
    }

    /// The customer's deposit address on the chain of Ethereum's kind.
    pub(crate) async fn open_account(&mut self, customer: &str) -> Account {
        self.deposit_accounts(customer).await.remove(0)
    }

    /// One on each chain.
    pub(crate) async fn deposit_accounts(&mut self, customer: &str) -> Vec<Account> {
        let request = OpenAccountRequest { customer: customer.into() };
        let accounts = self.control.open_account(request).await.unwrap().into_inner().deposit_accounts;
        accounts.iter().map(|account| account.parse().unwrap()).collect()
    }

    pub(crate) fn bitcoin(&self) -> &Bcoin {
        self.bitcoin.as_ref().expect("a scene with Bitcoin")
    }

    pub(crate) async fn balance(&mut self, customer: &str, asset: &Asset) -> Balance {
        let request = GetAccountRequest { customer: customer.into() };
        let balances = self.control.get_account(request).await.unwrap().into_inner().balances;
        balances.into_iter().find(|balance| balance.asset == asset.to_string()).unwrap()
    }

    pub(crate) async fn withdraw(
        &mut self,
        customer: &str,
        asset: &Asset,
        amount: u128,
        to: Address,
    ) -> WithdrawResponse {
        self.withdraw_to(customer, asset, amount, &Account::evm(ChainId::evm(CHAIN), to)).await
    }

    pub(crate) async fn withdraw_to(
        &mut self,
        customer: &str,
        asset: &Asset,
        amount: u128,
        to: &Account,
    ) -> WithdrawResponse {
        let request = WithdrawRequest {
            customer: customer.into(),
            amount: Some(AssetAmount { asset: asset.to_string(), amount: amount.to_string() }),
            to: to.to_string(),
        };
        self.control.withdraw(request).await.unwrap().into_inner()
    }

    /// Sends coin to an account, in a block of its own.
    pub(crate) async fn send(&self, to: &Account, amount: u128) -> TransferId {
        let tx = json!([{"from": self.rich, "to": to.evm_address().unwrap(), "value": U256::from(amount)}]);
        let transaction = self.anvil.rpc("eth_sendTransaction", tx).await.unwrap();
        transfer(transaction.as_str().unwrap(), TransferIndex::Native)
    }

    /// Sends tokens to an account, in a block of its own.
    pub(crate) async fn send_tokens(&self, to: &Account, amount: u128) -> TransferId {
        let data = [
            &[0xa9, 0x05, 0x9c, 0xbb][..],
            to.evm_address().unwrap().into_word().as_slice(),
            &U256::from(amount).to_be_bytes::<32>(),
        ]
        .concat();
        let tx = json!([{"from": self.rich, "to": self.token.unwrap(), "data": alloy::hex::encode_prefixed(data)}]);
        let transaction = self.anvil.rpc("eth_sendTransaction", tx).await.unwrap();
        transfer(transaction.as_str().unwrap(), TransferIndex::Log(0))
    }

    pub(crate) fn token_asset(&self) -> Asset {
        Asset::erc20(ChainId::evm(CHAIN), self.token.unwrap())
    }

    pub(crate) async fn mine(&self, blocks: u64) {
        self.anvil.rpc("anvil_mine", json!([blocks])).await.unwrap();
    }

    pub(crate) async fn coin_of(&self, address: Address) -> u128 {
        let balance = self.anvil.rpc("eth_getBalance", json!([address, "latest"])).await.unwrap();
        serde_json::from_value::<U256>(balance).unwrap().to()
    }

    pub(crate) async fn tokens_of(&self, address: Address) -> u128 {
        let data = [&[0x70, 0xa0, 0x82, 0x31][..], address.into_word().as_slice()].concat();
        let call = json!([{"to": self.token.unwrap(), "data": alloy::hex::encode_prefixed(data)}, "latest"]);
        serde_json::from_value::<U256>(self.anvil.rpc("eth_call", call).await.unwrap()).unwrap().to()
    }

    /// A deposit that has been credited.
    pub(crate) async fn deposit(&mut self, customer: &str, amount: u128) -> (Account, TransferId) {
        let account = self.open_account(customer).await;
        let before = total(&self.balance(customer, &coin()).await);
        let transfer = self.send(&account, amount).await;
        self.mine(1).await;
        self.credited(customer, before + amount).await;
        (account, transfer)
    }

    pub(crate) async fn credited(&mut self, customer: &str, wanted: u128) {
        self.credited_of(customer, &coin(), wanted).await;
    }

    pub(crate) async fn credited_of(&mut self, customer: &str, asset: &Asset, wanted: u128) {
        eventually("the deposit is credited", async || {
            (total(&self.balance(customer, asset).await) == wanted).then_some(())
        })
        .await;
    }

    pub(crate) async fn pending_of(&mut self, customer: &str, asset: &Asset, wanted: u128) {
        eventually("the deposit is pending", async || {
            (self.balance(customer, asset).await.pending == wanted.to_string()).then_some(())
        })
        .await;
    }

    pub(crate) async fn submit_bytes(&mut self, order: &SignedOrder) -> Vec<u8> {
        let request = SubmitRequest { order: Some(order.clone()) };
        self.exchange.submit(request).await.unwrap().into_inner().receipt.unwrap().envelope
    }

    pub(crate) async fn submit(&mut self, order: &SignedOrder) -> LegReport {
        let envelope = self.submit_bytes(order).await;
        self.receipt(&envelope).report
    }

    pub(crate) fn receipt(&self, envelope: &[u8]) -> Receipt {
        open_receipt(envelope, &self.keys, &exchange(), None).unwrap()
    }

    pub(crate) async fn freeze(&mut self, case: &Case, revision: u32, cap: u128) -> LegReport {
        let order = self.police.sign(case, &case.freeze(revision, cap)).await;
        self.submit(&order).await
    }

    pub(crate) async fn release(&mut self, case: &Case, revision: u32) -> LegReport {
        let order = self.police.sign(case, &case.release(revision)).await;
        self.submit(&order).await
    }

    /// How the exchange sees a leg now.
    pub(crate) async fn stands(&mut self, case: &Case) -> Option<LegReport> {
        self.stands_of(case.leg()).await
    }

    /// How the exchange sees any leg now.
    pub(crate) async fn stands_of(&mut self, leg: LegId) -> Option<LegReport> {
        let request = GetOrderRequest { leg_id: leg.to_string() };
        let receipt = self.exchange.get_order(request).await.unwrap().into_inner().receipt;
        receipt.map(|receipt| self.receipt(&receipt.envelope).report)
    }

    pub(crate) async fn follow(&mut self, log_id: &str, epoch: u64, after_sequence: u64) -> Events {
        let request = FollowRequest { log_id: log_id.into(), epoch, after_sequence };
        let stream = self.exchange.follow(request).await.unwrap().into_inner();
        Events { stream, keys: self.keys.clone() }
    }
}

/// The exchange's log as a connector reads it.
pub(crate) struct Events {
    pub(crate) stream: Streaming<FollowResponse>,
    keys: Keyring,
}

impl Events {
    pub(crate) async fn next(&mut self) -> Event {
        let next = timeout(PATIENCE, self.stream.message()).await.expect("an event in time").unwrap().unwrap();
        open_event(&next.event.unwrap().envelope, &self.keys, &exchange()).unwrap()
    }

    /// The next report of a leg in this state, with its running total.
    pub(crate) async fn until(&mut self, case: &Case, state: LegState) -> (u64, String) {
        loop {
            let event = self.next().await;
            let haetae_core::EventContent::Report(report) = event.content else { continue };
            if report.leg == case.leg() && report.state == state {
                return (event.sequence, report.frozen.map(|total| total.to_string()).unwrap_or_default());
            }
        }
    }
}

pub(crate) fn total(balance: &Balance) -> u128 {
    balance.total.parse().unwrap()
}

pub(crate) fn hot_wallet() -> Address {
    alloy::signers::local::PrivateKeySigner::from_bytes(&HOT_KEY.into()).unwrap().address()
}

fn transfer(transaction: &str, index: TransferIndex) -> TransferId {
    TransferId { chain: ChainId::evm(CHAIN), transaction: transaction.to_owned(), index }
}

async fn start(config: &Path) -> Running {
    let settings = Settings::<Config>::load(Some(config), []).unwrap();
    let shutdown = CancellationToken::new();
    let sandbox = Sandbox::open(&settings, shutdown.clone()).await.unwrap();
    let addresses = sandbox.addresses().unwrap();
    Running { addresses, shutdown, task: AbortOnDropHandle::new(tokio::spawn(sandbox.run())) }
}

fn peer(folder: &Path, caller: &str, at: std::net::SocketAddr) -> Peer {
    let own = folder.join(caller);
    let config: PeerConfig = serde_json::from_value(json!({
        "endpoints": [format!("https://{at}")],
        "server_name": "localhost",
        "tls": {"cert": own.join("tls.crt"), "key": own.join("tls.key"), "ca": own.join("ca.crt")},
        "deadline_ms": 10_000,
    }))
    .unwrap();
    Peer::connect("exchange", &config).unwrap()
}

async fn deploy_token(anvil: &Anvil, owner: Address) -> Address {
    let bytecode: Value = serde_json::from_str(include_str!("../../../../tests/contracts/bytecode.json")).unwrap();
    let supply = alloy::hex::encode(U256::from(ETHER).to_be_bytes::<32>());
    let data = format!("{}{supply}", bytecode["RehearsalToken"].as_str().unwrap());
    let transaction = anvil.rpc("eth_sendTransaction", json!([{"from": owner, "data": data}])).await.unwrap();
    eventually("the token is there", async || {
        let receipt = anvil.rpc("eth_getTransactionReceipt", json!([transaction])).await.unwrap();
        receipt["contractAddress"].as_str().map(|address| address.parse().unwrap())
    })
    .await
}

fn configuration(at: &Path, anvil: &Anvil, database: &str, token: Option<Address>, bitcoin: Option<&Bcoin>) -> String {
    let folder = at.display().to_string();
    let mut assets = vec![coin()];
    assets.extend(token.map(|token| Asset::erc20(ChainId::evm(CHAIN), token)));
    let assets: Vec<String> = assets.iter().map(|asset| format!("\"{asset}\"")).collect();
    let server = format!(
        "listen = \"127.0.0.1:0\"\nprobe_listen = \"127.0.0.1:0\"\ndrain = {{ grace_ms = 0, limit_ms = 5000 }}\n\
         tls = {{ cert = \"{folder}/exchange/tls.crt\", key = \"{folder}/exchange/tls.key\", \
         client_ca = \"{folder}/exchange/ca.crt\" }}\n"
    );
    format!(
        "[server]\n{server}\n[database]\nurl = \"{database}\"\n\n[service]\nexchange = \"upbit\"\n\
         registry = \"{folder}/exchanges.toml\"\ncallers = [\"{DOMAIN}/connector\"]\n\
         keys = {{ log = \"{folder}/log.pem\" }}\nhotline = {{ name = \"desk\", phone = \"+82\", email = \"d@upbit.test\" }}\n\n\
         [[service.chains]]\nid = \"eip155:{CHAIN}\"\nhttp = \"{http}\"\nws = \"{ws}\"\nconfirmations = 2\n\
         hot_wallet_key_file = \"{folder}/hot.key\"\nseed_file = \"{folder}/seed\"\nassets = [{assets}]\n\n\
         {further}\
         [service.control]\n{server}roles = {{ operator = [\"{DOMAIN}/operator\"] }}\n",
        further = bitcoin.map(|node| further(&folder, node)).unwrap_or_default(),
        http = anvil.http_url(),
        ws = anvil.ws_url(),
        assets = assets.join(", "),
    )
}

fn further(folder: &str, node: &Bcoin) -> String {
    format!(
        "[[service.chains]]\nid = \"{REGTEST}\"\nhttp = \"{http}\"\nconfirmations = 2\n\
         hot_wallet_key_file = \"{folder}/hot.key\"\nseed_file = \"{folder}/seed\"\nassets = [\"{REGTEST}/slip44:1\"]\n\n",
        http = node.url_with_key(),
    )
}
