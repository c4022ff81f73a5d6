//! Calls to a node over JSON-RPC.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One call to the node on a port of 127.0.0.1. `authorization` is the value of the header of that name.
///
/// HTTP/1.0, for its one virtue: the answer ends with the connection, so it needs no parser.
pub(crate) async fn call(port: u16, authorization: Option<&str>, method: &str, params: Value) -> Result<Value> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let authorization = authorization.map(|value| format!("authorization: {value}\r\n")).unwrap_or_default();
    let request = format!(
        "POST / HTTP/1.0\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{authorization}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let exchange = async {
        let mut connection = TcpStream::connect(("127.0.0.1", port)).await?;
        connection.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(30), exchange)
        .await
        .with_context(|| format!("{method}: no answer"))?
        .with_context(|| format!("{method}: the node cannot be reached"))?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or_else(|| anyhow!("{method}: not an HTTP answer"))?;
    let mut answer: Value = serde_json::from_str(body).with_context(|| format!("{method}: not JSON"))?;
    match answer.get("error") {
        None | Some(Value::Null) => Ok(answer["result"].take()),
        Some(error) => bail!("{method}: {error}"),
    }
}
