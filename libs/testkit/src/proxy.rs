//! A TCP proxy that breaks connections on purpose.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

/// What the proxy does to connections, open ones and new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Carries bytes both ways.
    Pass,
    /// Refuses new connections, as a machine without the service does. Open ones go on; see [`FaultProxy::cut`].
    Refuse,
    /// Accepts and stays silent, as behind a broken network. What was sent meanwhile arrives when the mode changes.
    BlackHole,
    /// Carries bytes, each piece in each direction later by this much.
    Delay(Duration),
}

/// A proxy before one upstream address, on a port of loopback. It ends, with its connections, when dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    orders: mpsc::Sender<(Order, oneshot::Sender<()>)>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
enum Order {
    Set(Mode),
    Cut,
    Strand,
}

impl FaultProxy {
    /// Starts a proxy that passes. The upstream need not be there yet.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(upstream: SocketAddr) -> Result<Self> {
        let port = crate::ports::free_port()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let (orders, inbox) = mpsc::channel(1);
        let proxy = Proxy {
            address,
            upstream,
            listener: Some(listener),
            mode: watch::Sender::new(Mode::Pass),
            stranded: Vec::new(),
            connections: JoinSet::new(),
        };
        Ok(Self { address, orders, task: tokio::spawn(proxy.run(inbox)) })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the mode. New connections meet it when this returns.
    ///
    /// # Errors
    /// When the proxy has ended, as it does when it cannot listen on its port again.
    pub async fn set(&self, mode: Mode) -> Result<()> {
        self.order(Order::Set(mode)).await
    }

    /// Cuts all open connections; new ones are served by the mode.
    ///
    /// # Errors
    /// When the proxy has ended.
    pub async fn cut(&self) -> Result<()> {
        self.order(Order::Cut).await
    }

    /// Leaves all open connections silent for good, as when a machine between forgets them; new ones are served by the mode.
    ///
    /// # Errors
    /// When the proxy has ended.
    pub async fn strand(&self) -> Result<()> {
        self.order(Order::Strand).await
    }

    async fn order(&self, order: Order) -> Result<()> {
        let (done, answer) = oneshot::channel();
        let ended = || anyhow!("the fault proxy has ended");
        self.orders.send((order, done)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        // Its connections are owned by the task and end with it.
        self.task.abort();
    }
}

struct Proxy {
    address: SocketAddr,
    upstream: SocketAddr,
    /// None while connections are refused.
    listener: Option<TcpListener>,
    mode: watch::Sender<Mode>,
    /// What connections hear that were stranded.
    stranded: Vec<watch::Sender<Mode>>,
    connections: JoinSet<()>,
}

impl Proxy {
    async fn run(mut self, mut orders: mpsc::Receiver<(Order, oneshot::Sender<()>)>) {
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some((order, done)) = order else { return };
                    if let Err(error) = self.obey(order).await {
                        eprintln!("fault proxy: {error:#}");
                        return;
                    }
                    // Who gave the order may not wait for it.
                    let _ = done.send(());
                }
                client = accept(self.listener.as_ref()) => {
                    if let Ok(client) = client {
                        self.connections.spawn(carry(client, self.upstream, self.mode.subscribe()));
                    }
                }
                Some(_) = self.connections.join_next() => {}
            }
        }
    }

    async fn obey(&mut self, order: Order) -> Result<()> {
        match order {
            Order::Cut => self.connections.shutdown().await,
            Order::Strand => {
                let mode = *self.mode.borrow();
                let before = std::mem::replace(&mut self.mode, watch::Sender::new(mode));
                before.send_replace(Mode::BlackHole);
                self.stranded.push(before);
            }
            Order::Set(mode) => {
                self.mode.send_replace(mode);
                if mode == Mode::Refuse {
                    self.listener = None;
                } else if self.listener.is_none() {
                    let listener = TcpListener::bind(self.address).await;
                    self.listener = Some(listener.context("cannot listen again")?);
                }
            }
        }
        Ok(())
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => Ok(listener.accept().await?.0),
        None => std::future::pending().await,
    }
}

/// Ends when either side has said all it had to say to the other, or breaks.
async fn carry(client: TcpStream, upstream: SocketAddr, mut mode: watch::Receiver<Mode>) {
    if passage(&mut mode).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(upstream).await else {
        return;
    };
    // Only wanted delays.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let there = pump(from_client, to_server, mode.clone());
    let back = pump(from_server, to_client, mode);
    // An error in one direction breaks the other; a mere end of what one side says does not.
    let _ = tokio::try_join!(there, back);
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut mode: watch::Receiver<Mode>,
) -> io::Result<()> {
    let mut piece = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut piece).await?;
        let delay = passage(&mut mode).await?;
        tokio::time::sleep(delay).await;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&piece[..length]).await?;
    }
}

/// Waits while the proxy is a black hole, then says how much later a piece arrives.
async fn passage(mode: &mut watch::Receiver<Mode>) -> io::Result<Duration> {
    let mode = mode.wait_for(|mode| *mode != Mode::BlackHole).await.map_err(|_| io::ErrorKind::ConnectionAborted)?;
    Ok(match *mode {
        Mode::Delay(delay) => delay,
        Mode::Pass | Mode::Refuse | Mode::BlackHole => Duration::ZERO,
    })
}
