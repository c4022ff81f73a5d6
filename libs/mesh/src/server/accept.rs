//! Takes connections: TLS with a client certificate, with whatever certificate of our own is current.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::Stream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::AbortOnDropHandle,
};
use tonic::transport::server::Connected;

use crate::{
    config::RoleMap,
    identity::{identify, spiffe_of},
    layers::Presented,
    reload::Reloaded,
    tls::ServerSide,
};

const HANDSHAKE: Duration = Duration::from_secs(5);
const HANDSHAKES_AT_ONCE: usize = 512;
/// After the operating system refuses to accept (no more file descriptors, mostly).
const PAUSE: Duration = Duration::from_millis(50);

/// Connections whose handshake is done. Dropping this closes the listener.
pub(super) struct Incoming {
    ready: mpsc::Receiver<Connection>,
    _accept: AbortOnDropHandle<()>,
}

pub(super) fn incoming(
    listener: TcpListener,
    tls: Arc<Reloaded<ServerSide>>,
    roles: Arc<RoleMap>,
    cut: CancellationToken,
) -> Incoming {
    let (sender, ready) = mpsc::channel(16);
    let accept = tokio::spawn(async move {
        let mut handshakes = JoinSet::new();
        loop {
            while handshakes.try_join_next().is_some() {}
            if handshakes.len() >= HANDSHAKES_AT_ONCE {
                handshakes.join_next().await;
            }
            match listener.accept().await {
                Ok((tcp, _)) => {
                    let config = Arc::clone(&tls.current().config);
                    let (roles, cut, sender) = (Arc::clone(&roles), cut.clone(), sender.clone());
                    handshakes.spawn(async move {
                        let shake = Connection::shake(tcp, TlsAcceptor::from(config), &roles, cut);
                        match timeout(HANDSHAKE, shake).await {
                            Ok(Ok(connection)) => {
                                let _ = sender.send(connection).await;
                            }
                            Ok(Err(error)) => tracing::debug!(%error, "handshake refused"),
                            Err(_) => tracing::debug!("handshake took too long"),
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    sleep(PAUSE).await;
                }
            }
        }
    });
    Incoming { ready, _accept: AbortOnDropHandle::new(accept) }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ready.poll_recv(cx).map(|next| next.map(Ok))
    }
}

/// A connection with a verified caller, which can be cut from outside.
pub(super) struct Connection {
    io: TlsStream<TcpStream>,
    presented: Presented,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Connection {
    async fn shake(tcp: TcpStream, acceptor: TlsAcceptor, roles: &RoleMap, cut: CancellationToken) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        let io = acceptor.accept(tcp).await?;
        let identity = io
            .get_ref()
            .1
            .peer_certificates()
            .and_then(<[_]>::first)
            .and_then(|certificate| spiffe_of(certificate))
            .map(|spiffe| Arc::new(identify(&spiffe, roles)));
        Ok(Self { io, presented: Presented(identity), cut: Box::pin(cut.cancelled_owned()) })
    }
}

impl Connected for Connection {
    type ConnectInfo = Presented;

    fn connect_info(&self) -> Presented {
        self.presented.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // A connection is always being read from, so this alone ends it.
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
