//! One endpoint of a peer: its connection, made when first needed and made anew when it is gone.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use futures::{StreamExt, stream::FuturesUnordered};
use http::{Uri, uri::PathAndQuery};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rand::seq::SliceRandom;
use rustls_pki_types::ServerName;
use tokio::{
    net::{TcpStream, lookup_host},
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::TlsConnector;
use tonic::body::Body;

use crate::{config::Endpoint, reload::Reloaded, tls::ClientSide};

const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(5);
/// For so long after a failure other endpoints are preferred.
const LATELY: Duration = Duration::from_secs(5);
/// An address that has not been reached in this time gets company from the next one (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

type Sender = http2::SendRequest<Body>;
/// What an attempt to connect came to; none while it goes on.
type Attempt = watch::Receiver<Option<Option<Sender>>>;

/// Why there is no response.
pub(super) enum NotSent {
    /// Nothing was sent: here is the request for another line.
    Unreachable(Box<http::Request<Body>>),
    /// It may have been sent.
    Failed(hyper::Error),
}

pub(super) struct Line {
    endpoint: Endpoint,
    server_name: ServerName<'static>,
    patience: Duration,
    tls: Arc<Reloaded<ClientSide>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    attempt: Option<Attempt>,
    failed: Option<Instant>,
    /// Connections; an old one lives on here until its last stream has ended.
    connections: JoinSet<()>,
}

impl Line {
    pub(super) fn new(
        endpoint: Endpoint,
        server_name: Option<&str>,
        patience: Duration,
        tls: Arc<Reloaded<ClientSide>>,
    ) -> anyhow::Result<Self> {
        // Where a SPIFFE id is expected, the name only tells the server which certificate to present.
        let name = server_name.filter(|name| !name.starts_with("spiffe://")).unwrap_or(endpoint.host());
        let server_name = ServerName::try_from(name.to_owned())
            .with_context(|| format!("`{name}` is no name a certificate could have"))?;
        Ok(Self { endpoint, server_name, patience, tls, state: Mutex::default() })
    }

    pub(super) fn uri(&self, path: Option<PathAndQuery>) -> Result<Uri, http::Error> {
        Uri::builder()
            .scheme("https")
            .authority(self.endpoint.authority().clone())
            .path_and_query(path.unwrap_or_else(|| PathAndQuery::from_static("/")))
            .build()
    }

    pub(super) fn failed_lately(&self) -> bool {
        self.with_state(|state| state.failed.is_some_and(|at| at.elapsed() < LATELY))
    }

    /// Sends over the connection there is, or over a new one. A connection that the server is closing hands the
    /// request back unsent; then a new one is tried once.
    pub(super) async fn send(&self, mut request: http::Request<Body>) -> Result<http::Response<Incoming>, NotSent> {
        for _ in 0..2 {
            let Some(mut sender) = self.sender().await else {
                break;
            };
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(mut error) => match error.take_message() {
                    Some(back) => request = back,
                    None => return Err(NotSent::Failed(error.into_error())),
                },
            }
        }
        self.with_state(|state| state.failed = Some(Instant::now()));
        Err(NotSent::Unreachable(Box::new(request)))
    }

    /// All who ask while a connection is being made wait for the same one; it is made by a task of its own, so that
    /// it goes on when the one who asked first gives up.
    async fn sender(&self) -> Option<Sender> {
        let mut attempt = self.with_state(|state| {
            while state.connections.try_join_next().is_some() {}
            match state.attempt.as_ref().filter(|a| usable(a)) {
                Some(attempt) => attempt.clone(),
                None => {
                    let (told, attempt) = watch::channel(None);
                    state.connections.spawn(connection(
                        self.endpoint.clone(),
                        self.server_name.clone(),
                        TlsConnector::from(Arc::clone(&self.tls.current().config)),
                        self.patience,
                        told,
                    ));
                    state.attempt.insert(attempt).clone()
                }
            }
        });
        let sender = attempt.wait_for(Option::is_some).await.ok()?.clone()??;
        self.with_state(|state| state.failed = None);
        Some(sender)
    }

    fn with_state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn usable(attempt: &Attempt) -> bool {
    match &*attempt.borrow() {
        None => attempt.has_changed().is_ok(),
        Some(Some(sender)) => !sender.is_closed(),
        Some(None) => false,
    }
}

/// A connection to one of a name's addresses, picked by chance so that callers spread over replicas. The next is tried
/// as soon as one fails, and beside one that is slow.
async fn any_reached<T, F>(mut addresses: Vec<SocketAddr>, reach: impl Fn(SocketAddr) -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    addresses.shuffle(&mut rand::rng());
    let mut waiting = addresses.into_iter();
    let mut under_way = FuturesUnordered::new();
    let mut failure = anyhow::anyhow!("the name has no address");
    loop {
        under_way.extend(waiting.next().map(&reach));
        tokio::select! {
            reached = under_way.next() => match reached {
                Some(Ok(connection)) => return Ok(connection),
                Some(Err(error)) => failure = error,
                None => return Err(failure),
            },
            () = sleep(HEAD_START), if waiting.len() > 0 => {}
        }
    }
}

/// Makes a connection, tells of it, and drives it to its end.
async fn connection(
    endpoint: Endpoint,
    server_name: ServerName<'static>,
    tls: TlsConnector,
    patience: Duration,
    told: watch::Sender<Option<Option<Sender>>>,
) {
    let reach = |address: SocketAddr| {
        let (tls, server_name) = (tls.clone(), server_name.clone());
        async move {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            let io = TokioIo::new(tls.connect(server_name, tcp).await?);
            let made = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(KEEP_ALIVE)
                .keep_alive_timeout(KEEP_ALIVE_ANSWER)
                .keep_alive_while_idle(true)
                .handshake(io)
                .await?;
            anyhow::Ok(made)
        }
    };
    // The name is resolved for every connection: replicas come and go.
    let connecting = async {
        let addresses = lookup_host((endpoint.host(), endpoint.port())).await?.collect();
        any_reached(addresses, reach).await
    };
    match timeout(patience, connecting).await {
        Ok(Ok((sender, driver))) => {
            told.send_replace(Some(Some(sender)));
            // What is told holds a sender, and the connection ends with its last one.
            drop(told);
            if let Err(error) = driver.await {
                tracing::debug!(%endpoint, %error, "connection ended");
            }
        }
        Ok(Err(error)) => {
            tracing::debug!(%endpoint, error = format!("{error:#}"), "cannot connect");
            told.send_replace(Some(None));
        }
        Err(_) => {
            tracing::debug!(%endpoint, "connecting took too long");
            told.send_replace(Some(None));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, net::Ipv4Addr};

    use tokio::net::TcpListener;

    use super::*;

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let at = listener.local_addr().unwrap();
        (listener, at)
    }

    async fn connected(to: SocketAddr) -> anyhow::Result<SocketAddr> {
        Ok(TcpStream::connect(to).await?.peer_addr()?)
    }

    #[tokio::test]
    async fn connections_spread_over_the_replicas_of_a_name() {
        let ((_one, first), (_other, second)) = (listener().await, listener().await);
        let mut reached = HashSet::new();
        for _ in 0..64 {
            reached.insert(any_reached(vec![first, second], connected).await.unwrap());
        }
        assert_eq!(reached, HashSet::from([first, second]));
    }

    #[tokio::test]
    async fn a_dead_replica_is_passed_by() {
        let ((gone, dead), (_living, alive)) = (listener().await, listener().await);
        drop(gone);
        for _ in 0..16 {
            assert_eq!(any_reached(vec![dead, alive], connected).await.unwrap(), alive);
        }
        assert!(any_reached(vec![dead, dead], connected).await.is_err());
        assert!(any_reached(vec![], connected).await.is_err());
    }

    #[tokio::test]
    async fn a_replica_that_keeps_silent_is_passed_by_too() {
        let ((_mute, silent), (_living, alive)) = (listener().await, listener().await);
        let reach = |to| async move { if to == silent { std::future::pending().await } else { connected(to).await } };
        let reached = any_reached(vec![silent, silent, silent, alive], reach);
        assert_eq!(timeout(Duration::from_secs(10), reached).await.unwrap().unwrap(), alive);
    }
}
