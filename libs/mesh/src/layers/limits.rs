//! Bounds what is in hand and what each caller may ask for.
//!
//! Budgets are per system, unit and person, and stand before the person layer, so the token is examined here, once, and
//! its outcome handed on. A call with a bad token still costs its system's budget, and is told "rate limited" rather
//! than "bad token" only when the *system* has used up its own: nobody can spend another's budget with a token that
//! does not hold.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, future::Either};
use opentelemetry::{KeyValue, global, metrics::Counter};
use opentelemetry_semantic_conventions::attribute::RPC_METHOD;
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::{
    Answer, Boxed, Front, Handed, Handler, Request, body::AtMost, body::Holding, called, person::Examined, refuse,
};
use crate::{
    Identity, Person, Role,
    config::RatesConfig,
    contracts::{Access, Served},
    person::Persons,
    rates::{Budgets, Claim},
    refusal::{Refusal, reason},
};

/// gRPC's own frame before a message.
const FRAME: usize = 5;

#[derive(Clone)]
pub(super) struct LimitsLayer {
    calls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    max_message_bytes: usize,
    rates: Arc<RatesConfig>,
    budgets: Arc<Budgets>,
    persons: Option<Arc<Persons>>,
    refused: Counter<u64>,
}

impl LimitsLayer {
    pub(super) fn new(front: &Front) -> Self {
        let semaphore = |n: usize| Arc::new(Semaphore::new(n.min(Semaphore::MAX_PERMITS)));
        Self {
            calls: semaphore(front.limits.max_concurrent),
            streams: semaphore(front.limits.max_streams),
            max_message_bytes: front.limits.max_message_bytes,
            rates: Arc::new(front.limits.rates.clone()),
            budgets: Arc::clone(&front.budgets),
            persons: front.persons.clone(),
            refused: global::meter("haetae.mesh")
                .u64_counter("haetae.rate.refused")
                .with_unit("{call}")
                .with_description("Calls refused because a budget was used up, by whose")
                .build(),
        }
    }

    fn examine(&self, request: &Request, served: &Served) -> Option<Examined> {
        let (persons, caller) = (self.persons.as_ref()?, request.extensions().get::<Identity>()?);
        served.person.then(|| Examined(persons.examine(request.headers(), caller, OffsetDateTime::now_utc())))
    }

    /// Whose budgets lie together: those of an agency, whichever of its systems is used; else the caller's own.
    fn group(&self, caller: Option<&Identity>) -> String {
        let Some(caller) = caller else { return String::new() };
        let agency = self.persons.as_ref().and_then(|persons| persons.agency(caller));
        agency.unwrap_or(&caller.spiffe).to_owned()
    }

    fn claims(&self, served: &Served, caller: Option<&Identity>, person: Option<&Person>) -> Vec<Claim> {
        let mut claims = Vec::new();
        if !served.counted {
            return claims;
        }
        // Services of the mesh do not ration one another; systems from outside are rationed.
        if let Some(caller) = caller
            && (caller.role == Some(Role::Agency) || matches!(served.access, Access::Listed(_)))
        {
            claims.push(Claim { kind: "system", whose: caller.spiffe.clone(), rate: self.rates.system });
        }
        if let Some(person) = person {
            claims.push(Claim {
                kind: "unit",
                whose: format!("{}\n{}", person.agency, person.unit),
                rate: self.rates.unit,
            });
            claims.push(Claim {
                kind: "person",
                whose: format!("{}\n{}", person.agency, person.id),
                rate: self.rates.person,
            });
        }
        claims
    }
}

impl<S> Layer<S> for LimitsLayer {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        Limited { inner, limits: self.clone() }
    }
}

#[derive(Clone)]
pub(super) struct Limited<S> {
    inner: S,
    limits: LimitsLayer,
}

impl<S: Handler> Service<Request> for Limited<S> {
    type Response = super::Response;
    type Error = Infallible;
    type Future = Handed<Boxed>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let Some(served) = called(&request).cloned() else {
            return refuse(Status::unimplemented("no such method"));
        };
        let room = if served.method.streams() { &self.limits.streams } else { &self.limits.calls };
        let Ok(permit) = Arc::clone(room).try_acquire_owned() else {
            return refuse(overloaded());
        };
        let examined = self.limits.examine(&request, &served);
        let person = examined.as_ref().and_then(|e| e.0.as_ref().ok());
        let caller = request.extensions().get::<Identity>();
        let claims = self.limits.claims(&served, caller, person);
        let group = self.limits.group(caller);
        if let Some(examined) = examined {
            request.extensions_mut().insert(examined);
        }
        if !served.method.client_streaming {
            let most = self.limits.max_message_bytes.saturating_add(FRAME);
            request = request.map(|body| AtMost::around(body, most, too_large));
        }

        // The inner service that was polled ready is the one to call; the copy takes its place.
        let copy = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, copy);
        let (budgets, refused) = (Arc::clone(&self.limits.budgets), self.limits.refused.clone());
        Either::Right(
            async move {
                if let Err(spent) = budgets.take(&group, &claims).await {
                    let method = KeyValue::new(RPC_METHOD, Arc::clone(&served.full_name));
                    refused.add(1, &[KeyValue::new("scope", spent.kind), method]);
                    return Ok(Status::from(rate_limited(spent.wait)).into_http());
                }
                let answer: Answer = inner.call(request).await;
                answer.map(|response| response.map(|body| Holding::around(body, permit)))
            }
            .boxed(),
        )
    }
}

fn overloaded() -> Refusal {
    Refusal::new(Code::Unavailable, reason::OVERLOADED, "this replica has its hands full")
        .retry_after(Duration::from_millis(500))
}

fn rate_limited(wait: Duration) -> Refusal {
    Refusal::new(
        Code::ResourceExhausted,
        reason::RATE_LIMITED,
        "the budget of the person, the unit or the system is used up for now",
    )
    .retry_after(wait)
}

fn too_large() -> Status {
    Refusal::new(
        Code::ResourceExhausted,
        reason::MESSAGE_TOO_LARGE,
        "the request message is larger than this server accepts",
    )
    .into()
}
