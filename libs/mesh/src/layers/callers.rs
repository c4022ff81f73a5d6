//! Lets through those whom the contract names, or for public services those whom configuration lists. No one else.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use futures::future::Either;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::{Handed, Handler, Request, called, refuse};
use crate::{
    Identity,
    refusal::{Refusal, reason},
};

#[derive(Clone)]
pub(super) struct CallersLayer;

impl<S> Layer<S> for CallersLayer {
    type Service = Callers<S>;

    fn layer(&self, inner: S) -> Callers<S> {
        Callers(inner)
    }
}

#[derive(Clone)]
pub(super) struct Callers<S>(S);

impl<S: Handler> Service<Request> for Callers<S> {
    type Response = super::Response;
    type Error = Infallible;
    type Future = Handed<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // A path that no contract knows never reaches the handlers: nothing says who might call it.
        let Some(served) = called(&request) else {
            return refuse(Status::unimplemented("no such method"));
        };
        let allowed = request.extensions().get::<Identity>().is_some_and(|caller| served.access.allows(caller));
        if !allowed {
            return refuse(
                Refusal::new(
                    Code::PermissionDenied,
                    reason::CALLER_NOT_ALLOWED,
                    "the caller's certificate is not one that may call this method",
                )
                .metadata("method", served.full_name.to_string()),
            );
        }
        Either::Right(self.0.call(request))
    }
}
