//! What every call goes through before a handler sees it. Each layer is a file; their order is decided here and only here.

mod body;
mod callers;
mod deadline;
mod drain;
mod identity;
mod limits;
mod metrics;
mod person;
mod trace;

use std::{convert::Infallible, sync::Arc};

use futures::future::{BoxFuture, Either, Ready, ready};
use tonic::{Status, body::Body};
use tower::{Service, ServiceBuilder};

pub(crate) use self::{
    body::{Measured, Until},
    identity::Presented,
    metrics::Instruments,
    trace::inject,
};
use crate::{
    Drain,
    config::LimitsConfig,
    contracts::{Routes, Served},
    person::Persons,
    rates::Budgets,
};

pub(crate) type Request = http::Request<Body>;
pub(crate) type Response = http::Response<Body>;
type Answer = Result<Response, Infallible>;
type Boxed = BoxFuture<'static, Answer>;
/// What a layer answers that either refuses at once or hands on.
type Handed<F> = Either<Ready<Answer>, F>;

fn refuse<F>(status: impl Into<Status>) -> Handed<F> {
    Either::Left(ready(Ok(status.into().into_http())))
}

/// A handler, or what stands before it.
pub(crate) trait Handler:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Handler for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

/// The method a call is for, put there by the first layer; none where no contract knows the path.
#[derive(Debug, Clone)]
struct Called(Option<Arc<Served>>);

fn called(request: &Request) -> Option<&Arc<Served>> {
    request.extensions().get::<Called>()?.0.as_ref()
}

/// What the layers share.
#[derive(Clone)]
pub(crate) struct Front {
    /// The server's name, given where a call ran out of time.
    pub(crate) hop: &'static str,
    pub(crate) routes: Arc<Routes>,
    pub(crate) limits: LimitsConfig,
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) persons: Option<Arc<Persons>>,
    pub(crate) drain: Drain,
}

/// The order, outermost first. A call is traced and measured whatever becomes of it; nobody is told anything, not even
/// that a budget is used up, before it is clear who asks and that they may; time runs from before the budgets are asked.
pub(crate) fn stack(front: &Front, handlers: tonic::service::Routes) -> impl Handler {
    ServiceBuilder::new()
        .layer(trace::TraceLayer::new(Arc::clone(&front.routes)))
        .layer(metrics::MetricsLayer::server())
        .layer(identity::IdentityLayer)
        .layer(callers::CallersLayer)
        .layer(deadline::DeadlineLayer::new(front.hop, &front.limits))
        .layer(limits::LimitsLayer::new(front))
        .layer(person::PersonLayer)
        .layer(drain::DrainLayer::new(front.drain.clone()))
        .service(handlers)
}
