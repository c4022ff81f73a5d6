//! A node that answers what a test wants it to.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Json;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::config::NodeConfig;

/// Gives the answer to a call or to a path with its parameters or its body; none where the node does not know it. A call that is
/// answered with [`refusal`] is refused.
type Script = Box<dyn FnMut(&str, &Value) -> Option<Value> + Send>;

/// It ends when this is dropped.
pub(super) struct Scripted {
    pub(super) config: NodeConfig,
    _task: AbortOnDropHandle<()>,
}

impl Scripted {
    pub(super) async fn start(script: impl FnMut(&str, &Value) -> Option<Value> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = format!("http://{}/jsonrpc", listener.local_addr().unwrap());
        let script: Script = Box::new(script);
        let app = Router::new().fallback(answer).with_state(Arc::new(Mutex::new(script)));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { config: NodeConfig { http, ..NodeConfig::default() }, _task: AbortOnDropHandle::new(task) }
    }
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, uri: Uri, body: Bytes) -> Json<Value> {
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let script = &mut *script.lock().unwrap();
    let answer = match (uri.path(), &asked) {
        ("/jsonrpc", Value::Array(calls)) => calls.iter().map(|call| result(script, call)).collect(),
        ("/jsonrpc", call) => result(script, call),
        (path, asked) => script(path, asked).unwrap_or(json!({})),
    };
    Json(answer)
}

/// More was asked than the node answers at once.
pub(super) fn refusal() -> Value {
    json!({"refused": -32_005})
}

fn result(script: &mut Script, call: &Value) -> Value {
    match script(call["method"].as_str().unwrap(), &call["params"]) {
        Some(result) if result == refusal() => {
            json!({"jsonrpc": "2.0", "id": call["id"], "error": {"code": result["refused"], "message": "too much"}})
        }
        Some(result) => json!({"jsonrpc": "2.0", "id": call["id"], "result": result}),
        None => json!({"jsonrpc": "2.0", "id": call["id"], "error": {"code": -32601, "message": "no such method"}}),
    }
}
