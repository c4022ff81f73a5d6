//! Lets a call to a service for persons through with the person it is made for, and never without.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use futures::future::Either;
use tower::{Layer, Service};

use super::{Handed, Handler, Request, called, refuse};
use crate::{Person, person::TokenFault, refusal::Refusal};

/// What examining the token gave; put there by the limits layer, which needed to know whose budget to ask.
#[derive(Debug, Clone)]
pub(super) struct Examined(pub(super) Result<Person, TokenFault>);

#[derive(Clone)]
pub(super) struct PersonLayer;

impl<S> Layer<S> for PersonLayer {
    type Service = ForPersons<S>;

    fn layer(&self, inner: S) -> ForPersons<S> {
        ForPersons(inner)
    }
}

#[derive(Clone)]
pub(super) struct ForPersons<S>(S);

impl<S: Handler> Service<Request> for ForPersons<S> {
    type Response = super::Response;
    type Error = Infallible;
    type Future = Handed<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        if called(&request).is_none_or(|served| served.person) {
            match request.extensions_mut().remove::<Examined>() {
                Some(Examined(Ok(person))) => {
                    request.extensions_mut().insert(person);
                }
                Some(Examined(Err(fault))) => return refuse(Refusal::from(fault)),
                None => return refuse(Refusal::from(TokenFault::Missing)),
            }
        }
        Either::Right(self.0.call(request))
    }
}
