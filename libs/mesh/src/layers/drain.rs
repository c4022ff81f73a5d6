//! Ends open streams when the replica goes down, at a point from which they can be resumed elsewhere.

use std::{
    convert::Infallible,
    task::{Context, Poll},
    time::Duration,
};

use futures::FutureExt;
use tonic::Code;
use tower::{Layer, Service};

use super::{Answer, Boxed, Handler, Request, Until, called};
use crate::{
    Drain,
    refusal::{Refusal, reason},
};

/// Messages that were ready when the drain began and may still go out.
const LINGER: u32 = 16;

#[derive(Clone)]
pub(super) struct DrainLayer(Drain);

impl DrainLayer {
    pub(super) fn new(drain: Drain) -> Self {
        Self(drain)
    }
}

impl<S> Layer<S> for DrainLayer {
    type Service = Draining<S>;

    fn layer(&self, inner: S) -> Draining<S> {
        Draining { inner, drain: self.0.clone() }
    }
}

#[derive(Clone)]
pub(super) struct Draining<S> {
    inner: S,
    drain: Drain,
}

impl<S: Handler> Service<Request> for Draining<S> {
    type Response = super::Response;
    type Error = Infallible;
    type Future = Boxed;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Boxed {
        let streams = called(&request).is_some_and(|s| s.method.server_streaming);
        request.extensions_mut().insert(self.drain.clone());
        let drain = self.drain.clone();
        let answer = self.inner.call(request);
        async move {
            let answer: Answer = answer.await;
            if !streams {
                return answer;
            }
            let over = async move {
                drain.owned_wait().await;
                going_down().into()
            };
            answer.map(|response| response.map(|body| Until::around(body, over, LINGER)))
        }
        .boxed()
    }
}

fn going_down() -> Refusal {
    Refusal::new(Code::Unavailable, reason::DRAINING, "this replica is going down; resume at another")
        .retry_after(Duration::ZERO)
}
