//! Ends calls that take too long, a little before their caller gives up, and says that it was here.
//!
//! tonic's own timer runs on the same header, ends calls as CANCELLED and cannot be told otherwise: ours, shaved, is
//! always first.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, future::Either};
use tokio::time::{sleep_until, timeout_at};
use tonic::Code;
use tower::{Layer, Service};

use super::{Answer, Boxed, Handed, Handler, Request, Until, called, refuse};
use crate::{
    Deadline,
    config::LimitsConfig,
    deadline::{Allowance, allowance, stated},
    refusal::{Refusal, reason},
};

#[derive(Clone)]
pub(super) struct DeadlineLayer {
    hop: &'static str,
    default: Duration,
    max: Duration,
}

impl DeadlineLayer {
    pub(super) fn new(hop: &'static str, limits: &LimitsConfig) -> Self {
        Self {
            hop,
            default: Duration::from_millis(limits.default_deadline_ms),
            max: Duration::from_millis(limits.max_deadline_ms),
        }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Timed<S>;

    fn layer(&self, inner: S) -> Timed<S> {
        Timed { inner, rule: self.clone() }
    }
}

#[derive(Clone)]
pub(super) struct Timed<S> {
    inner: S,
    rule: DeadlineLayer,
}

impl<S: Handler> Service<Request> for Timed<S> {
    type Response = super::Response;
    type Error = Infallible;
    type Future = Handed<Boxed>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let rule = &self.rule;
        let (method, streams) = called(&request)
            .map_or_else(|| (Arc::from("unknown"), false), |s| (Arc::clone(&s.full_name), s.method.server_streaming));
        let stated = stated(request.headers());
        let Allowance::Run(time) = allowance(stated, rule.default, rule.max) else {
            return refuse(too_long(rule.hop, &method));
        };
        let deadline = Deadline::after(time);
        // A stream without a stated end runs on; only its beginning is timed, and its handler is told no deadline.
        let whole_stream = match (streams, stated) {
            (true, Some(stated)) => match allowance(Some(stated), rule.default, stated) {
                Allowance::Run(time) => Some(Deadline::after(time)),
                Allowance::TooLate => Some(deadline),
            },
            _ => None,
        };
        if let Some(told) = whole_stream.or((!streams).then_some(deadline)) {
            request.extensions_mut().insert(told);
        }
        let hop = rule.hop;
        let answer = deadline.scope(self.inner.call(request));
        Either::Right(
            async move {
                let answer: Answer = match timeout_at(deadline.instant(), answer).await {
                    Ok(answer) => answer,
                    Err(_) => Ok(tonic::Status::from(too_long(hop, &method)).into_http()),
                };
                match whole_stream {
                    Some(end) => answer.map(|response| {
                        response.map(|body| {
                            let over = async move {
                                sleep_until(end.instant()).await;
                                too_long(hop, &method).into()
                            };
                            Until::around(body, over, 0)
                        })
                    }),
                    None => answer,
                }
            }
            .boxed(),
        )
    }
}

fn too_long(hop: &'static str, method: &str) -> Refusal {
    Refusal::new(Code::DeadlineExceeded, reason::DEADLINE_EXCEEDED, format!("{hop} ran out of time in {method}"))
        .metadata("hop", hop)
        .metadata("method", method)
}
