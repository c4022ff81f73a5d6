//! An authority, servers of the audit contract whose answers the test decides, and peers that call them.

use std::{future::Future, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use haetae_mesh::{
    Explained, Listening, Peer, ServeError, Server,
    config::{PeerConfig, PeerTls, ServerConfig},
    explain,
};
use haetae_testkit::certs::{Ca, Leaf};
pub(crate) use haetae_wire::audit::v1::audit_service_client::AuditServiceClient;
use haetae_wire::audit::v1::{
    GetCheckpointRequest, GetCheckpointResponse, GetConsistencyProofRequest, GetConsistencyProofResponse,
    GetInclusionProofRequest, GetInclusionProofResponse, ListLeavesRequest, ListLeavesResponse,
    audit_service_server::{AuditService, AuditServiceServer},
};
use tempfile::TempDir;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

pub(crate) const DOMAIN: &str = "spiffe://haetae.test";
pub(crate) const METHOD: &str = "haetae.audit.v1.AuditService/GetCheckpoint";
const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) type Asked = Request<GetCheckpointRequest>;
pub(crate) type Told = Result<String, Status>;
pub(crate) type Audited = AuditServiceServer<Audit>;

/// The audit service; `GetCheckpoint` is what the test makes of it.
#[derive(Clone)]
pub(crate) struct Audit(Arc<dyn Fn(Asked) -> BoxFuture<'static, Told> + Send + Sync>);

impl Audit {
    pub(crate) fn answering<F, R>(answer: F) -> Audited
    where
        F: Fn(Asked) -> R + Send + Sync + 'static,
        R: Future<Output = Told> + Send + 'static,
    {
        AuditServiceServer::new(Self(Arc::new(move |request| Box::pin(answer(request)))))
    }

    pub(crate) fn saying(word: &'static str) -> Audited {
        Self::answering(move |_| async move { Ok(word.to_owned()) })
    }
}

#[tonic::async_trait]
impl AuditService for Audit {
    async fn get_checkpoint(&self, request: Asked) -> Result<Response<GetCheckpointResponse>, Status> {
        let checkpoint = (self.0)(request).await?;
        Ok(Response::new(GetCheckpointResponse { checkpoint, ..Default::default() }))
    }

    async fn list_leaves(&self, _: Request<ListLeavesRequest>) -> Result<Response<ListLeavesResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn get_inclusion_proof(
        &self,
        _: Request<GetInclusionProofRequest>,
    ) -> Result<Response<GetInclusionProofResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn get_consistency_proof(
        &self,
        _: Request<GetConsistencyProofRequest>,
    ) -> Result<Response<GetConsistencyProofResponse>, Status> {
        Ok(Response::new(Default::default()))
    }
}

pub(crate) struct World {
    pub(crate) ca: Ca,
    pub(crate) folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { ca: Ca::new("mesh").unwrap(), folder: tempfile::tempdir().unwrap() }
    }

    /// A certificate for `spiffe://haetae.test/NAME`, by files.
    pub(crate) fn identity(&self, name: &str) -> PeerTls {
        let folder = self.folder.path().join(name);
        self.issue_into(&folder, name);
        PeerTls { cert: folder.join("tls.crt"), key: folder.join("tls.key"), ca: folder.join("ca.crt") }
    }

    pub(crate) fn issue_into(&self, folder: &Path, name: &str) {
        let spiffe = format!("{DOMAIN}/{name}");
        let leaf = Leaf { spiffe: Some(&spiffe), ..Leaf::default() };
        self.ca.issue(&leaf).unwrap().write_to(folder).unwrap();
    }

    /// A server's configuration on free ports, with auditors, intake and one agency's systems as callers.
    pub(crate) fn server_config(&self, name: &str) -> ServerConfig {
        let tls = self.identity(name);
        serde_json::from_value(serde_json::json!({
            "listen": "127.0.0.1:0",
            "probe_listen": "127.0.0.1:0",
            "tls": { "cert": tls.cert, "key": tls.key, "client_ca": tls.ca },
            "roles": {
                "auditor": [format!("{DOMAIN}/auditor/*")],
                "intake": [format!("{DOMAIN}/intake")],
                "operator": [format!("{DOMAIN}/operator")],
                "tracking": [format!("{DOMAIN}/tracking")],
            },
            "drain": { "grace_ms": 0, "limit_ms": 10_000 },
        }))
        .unwrap()
    }

    pub(crate) fn server(&self, name: &'static str) -> Server {
        Server::new(name, &self.server_config(name))
    }

    pub(crate) fn peer_config(&self, caller: &str, at: &[SocketAddr]) -> PeerConfig {
        let endpoints: Vec<String> = at.iter().map(|at| format!("https://{at}")).collect();
        let tls = self.identity(caller);
        serde_json::from_value(serde_json::json!({
            "endpoints": endpoints,
            "tls": { "cert": tls.cert, "key": tls.key, "ca": tls.ca },
            "deadline_ms": 10_000,
        }))
        .unwrap()
    }

    pub(crate) fn peer(&self, caller: &str, at: &[SocketAddr]) -> Peer {
        Peer::connect("audit", &self.peer_config(caller, at)).unwrap()
    }
}

/// A server at work; aborted when dropped.
pub(crate) struct Running {
    pub(crate) at: SocketAddr,
    pub(crate) probe: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    pub(crate) async fn start(server: Server) -> Self {
        let listening: Listening = server.listen().await.unwrap();
        let (at, probe) = (listening.local_addr().unwrap(), listening.probe_addr().unwrap());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(listening.run(shutdown.clone()));
        Self { at, probe, shutdown, task }
    }

    pub(crate) fn begin_shutdown(&self) {
        self.shutdown.cancel();
    }

    pub(crate) async fn ended(mut self) {
        timeout(PATIENCE, &mut self.task).await.expect("down in time").unwrap().unwrap();
    }

    /// The status line and the body of a plain HTTP answer of the probe port.
    pub(crate) async fn probe(&self, path: &str) -> (u16, String) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut tcp = tokio::net::TcpStream::connect(self.probe).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n\r\n");
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).await.unwrap();
        let code = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (code, answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Asks for the checkpoint once.
pub(crate) async fn ask(peer: &Peer) -> Result<String, Status> {
    let answer = AuditServiceClient::new(peer.clone()).get_checkpoint(GetCheckpointRequest {}).await?;
    Ok(answer.into_inner().checkpoint)
}

pub(crate) async fn refused(peer: &Peer) -> Explained {
    explain(&ask(peer).await.expect_err("refused"))
}

/// Asks again and again until it is so.
pub(crate) async fn until<F: AsyncFnMut() -> bool>(what: &str, mut so: F) {
    let end = Instant::now() + PATIENCE;
    while !so().await {
        assert!(Instant::now() < end, "never: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
