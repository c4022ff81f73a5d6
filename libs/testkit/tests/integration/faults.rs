//! The fault proxy.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use haetae_testkit::proxy::{FaultProxy, Mode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(200);

/// Says everything back.
async fn echo() -> Result<(SocketAddr, JoinSet<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            connections.spawn(async move {
                let (mut from, mut to) = client.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    Ok((address, server))
}

async fn said_back(connection: &mut TcpStream) -> Result<()> {
    connection.write_all(b"hello").await?;
    heard(connection).await
}

async fn heard(connection: &mut TcpStream) -> Result<()> {
    let mut answer = [0; 5];
    timeout(LONG, connection.read_exact(&mut answer)).await??;
    assert_eq!(&answer, b"hello");
    Ok(())
}

#[tokio::test]
async fn it_carries_and_says_when_one_side_is_done() -> Result<()> {
    let (upstream, _server) = echo().await?;
    let proxy = FaultProxy::start(upstream).await?;
    let mut connection = TcpStream::connect(proxy.address()).await?;
    said_back(&mut connection).await?;
    connection.shutdown().await?;
    assert_eq!(timeout(LONG, connection.read(&mut [0; 1])).await??, 0);
    Ok(())
}

#[tokio::test]
async fn refusing_spares_open_connections_until_they_are_cut() -> Result<()> {
    let (upstream, _server) = echo().await?;
    let proxy = FaultProxy::start(upstream).await?;
    let mut open = TcpStream::connect(proxy.address()).await?;
    said_back(&mut open).await?;

    proxy.set(Mode::Refuse).await?;
    let refused = TcpStream::connect(proxy.address()).await.expect_err("is refused");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    said_back(&mut open).await?;

    proxy.cut().await?;
    let end = timeout(LONG, open.read(&mut [0; 1])).await?;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");

    proxy.set(Mode::Pass).await?;
    said_back(&mut TcpStream::connect(proxy.address()).await?).await
}

#[tokio::test]
async fn a_black_hole_is_silent_and_lets_go_later() -> Result<()> {
    let (upstream, _server) = echo().await?;
    let proxy = FaultProxy::start(upstream).await?;
    let mut open = TcpStream::connect(proxy.address()).await?;
    said_back(&mut open).await?;

    proxy.set(Mode::BlackHole).await?;
    let mut new = TcpStream::connect(proxy.address()).await?;
    for connection in [&mut open, &mut new] {
        connection.write_all(b"hello").await?;
        assert!(timeout(SHORT, connection.read_u8()).await.is_err());
    }
    proxy.set(Mode::Pass).await?;
    heard(&mut open).await?;
    heard(&mut new).await
}

#[tokio::test]
async fn a_delay_applies_there_and_back() -> Result<()> {
    let (upstream, _server) = echo().await?;
    let proxy = FaultProxy::start(upstream).await?;
    proxy.set(Mode::Delay(SHORT)).await?;
    let mut connection = TcpStream::connect(proxy.address()).await?;
    let before = Instant::now();
    said_back(&mut connection).await?;
    assert!(before.elapsed() >= 2 * SHORT);
    Ok(())
}
