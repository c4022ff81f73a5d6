//! Who calls, from the certificate that the connection was made with.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use tower::{Layer, Service};

use super::{Handler, Request};
use crate::Identity;

/// What the connection presented: an identity where the verified certificate holds a SPIFFE id.
#[derive(Debug, Clone)]
pub(crate) struct Presented(pub(crate) Option<Arc<Identity>>);

#[derive(Clone)]
pub(super) struct IdentityLayer;

impl<S> Layer<S> for IdentityLayer {
    type Service = Identified<S>;

    fn layer(&self, inner: S) -> Identified<S> {
        Identified(inner)
    }
}

#[derive(Clone)]
pub(super) struct Identified<S>(S);

impl<S: Handler> Service<Request> for Identified<S> {
    type Response = super::Response;
    type Error = Infallible;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> S::Future {
        let presented = request.extensions().get::<Presented>().cloned();
        if let Some(Presented(Some(identity))) = presented {
            request.extensions_mut().insert(Identity::clone(&identity));
        }
        self.0.call(request)
    }
}
