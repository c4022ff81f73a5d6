//! A private Redis.

use anyhow::Result;
use haetae_testkit::redis::{Cluster, Redis};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn ask(redis: &Redis, command: &str, answer_length: usize) -> Result<String> {
    let mut connection = TcpStream::connect(("127.0.0.1", redis.port())).await?;
    connection.write_all(format!("{command}\r\n").as_bytes()).await?;
    let mut answer = vec![0; answer_length];
    connection.read_exact(&mut answer).await?;
    Ok(String::from_utf8(answer)?)
}

#[tokio::test]
async fn redis_stops_and_comes_back_empty_on_the_same_port() -> Result<()> {
    let mut redis = Redis::start().await?;
    let url = redis.url();
    assert_eq!(ask(&redis, "SET a 1", 5).await?, "+OK\r\n");
    redis.stop();
    assert!(TcpStream::connect(("127.0.0.1", redis.port())).await.is_err());
    redis.start_again().await?;
    assert_eq!(redis.url(), url);
    assert_eq!(ask(&redis, "GET a", 5).await?, "$-1\r\n");
    Ok(())
}

#[tokio::test]
async fn nodes_of_a_cluster_hold_different_keys_and_each_knows_where_the_others_are() -> Result<()> {
    let cluster = Cluster::start().await?;
    let mut answers = Vec::new();
    for url in cluster.urls() {
        let mut connection = TcpStream::connect(url.trim_start_matches("redis://")).await?;
        connection.write_all(b"GET a\r\n").await?;
        let mut answer = [0; 5];
        connection.read_exact(&mut answer).await?;
        answers.push(String::from_utf8_lossy(&answer).into_owned());
    }
    answers.sort();
    assert_eq!(answers, ["$-1\r\n", "-MOVE", "-MOVE"]);
    Ok(())
}
