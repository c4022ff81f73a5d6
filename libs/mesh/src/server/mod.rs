//! The only way to listen.

mod accept;
pub(crate) mod probe;

use std::{borrow::Cow, convert::Infallible, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use prost_reflect::{prost::Message, prost_types::FileDescriptorSet};
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tonic::{
    body::Body,
    server::NamedService,
    service::{Routes as Handlers, RoutesBuilder},
};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::Service;

use crate::{
    Drain,
    config::{IdPattern, RedisConfig, ServerConfig},
    contracts::{ContractFault, Offer, Routes},
    layers::{self, Front},
    person::Persons,
    rates::Budgets,
    ready::{self, Check, Readiness},
    reload::Reloaded,
    tls::{self, ServerSide},
};

/// Streams one connection may have open; what a whole replica takes is bounded by its limits.
const STREAMS_PER_CONNECTION: u32 = 1_000;
const MAX_HEADERS: u32 = 32 * 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(5);
/// For connections to notice that they were cut.
const AFTER_THE_END: Duration = Duration::from_secs(1);

/// Why a server does not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// What it offers and the contracts do not fit.
    #[error(transparent)]
    Contract(#[from] ContractFault),
    /// A service is served for persons, but nothing says whose tokens are accepted.
    #[error("{0} is served for persons, but the server has no `persons` section")]
    PersonsMissing(&'static str),
    /// `with_person` was called before a service was added.
    #[error("`with_person` belongs after the service it is for")]
    PersonForNothing,
    /// Certificates, keys or what is said of Redis cannot be used.
    #[error("{0:#}")]
    Material(anyhow::Error),
    /// An address cannot be listened on.
    #[error("cannot listen on {at}: {error}")]
    Listen {
        /// The address.
        at: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The listener ended without being told to.
    #[error("the listener ended by itself")]
    Ended,
}

/// What a generated `…ServiceServer` is.
pub trait Servable:
    Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible, Future: Send + 'static>
    + NamedService
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Servable for S where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible, Future: Send + 'static>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// Collects what is served, and how; nothing listens before [`run`](Self::run).
#[must_use = "a server serves when it is run"]
pub struct Server {
    name: &'static str,
    config: ServerConfig,
    redis: RedisConfig,
    descriptors: Cow<'static, [u8]>,
    offers: Vec<Offer>,
    handlers: RoutesBuilder,
    checks: Vec<Check>,
    person_for_nothing: bool,
}

impl Server {
    /// A server of that name: what budgets are kept under and callers are told where a call ran out of time.
    pub fn new(name: &'static str, config: &ServerConfig) -> Self {
        Self {
            name,
            config: config.clone(),
            redis: RedisConfig::default(),
            descriptors: Cow::Borrowed(haetae_wire::DESCRIPTORS),
            offers: Vec::new(),
            handlers: RoutesBuilder::default(),
            checks: Vec::new(),
            person_for_nothing: false,
        }
    }

    /// Where replicas share their budgets.
    pub fn redis(mut self, config: &RedisConfig) -> Self {
        self.redis = config.clone();
        self
    }

    /// Contracts other than this system's own: an encoded `FileDescriptorSet` with its imports.
    pub fn descriptors(mut self, set: impl Into<Cow<'static, [u8]>>) -> Self {
        self.descriptors = set.into();
        self
    }

    /// Serves a service of the mesh. Its contract says which roles may call each method.
    #[expect(clippy::should_implement_trait, reason = "a server that serves one more is no sum")]
    pub fn add<S>(self, service: S) -> Self
    where
        S: Servable,
    {
        self.offer(service, None)
    }

    /// Serves a public service, whose contract knows nothing of the mesh, to the identities listed. An empty list
    /// allows nobody.
    pub fn add_public<S>(self, service: S, callers: impl Into<Arc<[IdPattern]>>) -> Self
    where
        S: Servable,
    {
        self.offer(service, Some(callers.into()))
    }

    fn offer<S>(mut self, service: S, public: Option<Arc<[IdPattern]>>) -> Self
    where
        S: Servable,
    {
        self.handlers.add_service(service);
        self.offers.push(Offer { service: S::NAME, public, person: false });
        self
    }

    /// The service added last is called for persons: every call carries a token, and handlers find a
    /// [`Person`](crate::Person) in the request's extensions.
    pub fn with_person(mut self) -> Self {
        match self.offers.last_mut() {
            Some(offer) => offer.person = true,
            None => self.person_for_nothing = true,
        }
        self
    }

    /// Something of its own that the replica needs before it may be given work; looked at every second, for two
    /// seconds at most.
    pub fn ready<F, R>(mut self, name: &'static str, look: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.checks.push(Check::new(name, look));
        self
    }

    /// Binds both addresses and serves until `shutdown`, then drains.
    ///
    /// # Errors
    /// When it cannot start, or stops by itself.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServeError> {
        self.listen().await?.run(shutdown).await
    }

    /// Checks contracts, certificates and keys, and binds both addresses, so that they are known (port 0) before
    /// anything is served.
    ///
    /// # Errors
    /// When any of these is not in order.
    pub async fn listen(self) -> Result<Listening, ServeError> {
        if self.person_for_nothing {
            return Err(ServeError::PersonForNothing);
        }
        let reflection = Some(self.config.reflection.clone());
        let routes = Routes::read(&self.descriptors, &self.offers, reflection)?;
        let persons = match (&self.config.persons, self.offers.iter().find(|o| o.person)) {
            (None, Some(offer)) => return Err(ServeError::PersonsMissing(offer.service)),
            (Some(config), _) => Some(Persons::open(config, &self.config).map_err(ServeError::Material)?),
            (None, None) => None,
        };
        let tls = Arc::new(tls::server(&self.config.tls).map_err(ServeError::Material)?);
        tls::tell_end("server", &tls);
        let limits = self.config.limits.clone();
        let budgets = Budgets::new(self.name, &limits, &self.redis).map_err(ServeError::Material)?;

        let names: Vec<&'static str> = self.offers.iter().map(|o| o.service).collect();
        let (reporter, health) = tonic_health::server::health_reporter();
        let mut handlers = self.handlers;
        handlers.add_service(health);
        handlers.add_service(reflection_of(&self.descriptors, &names)?);

        let listener = bind(self.config.listen).await?;
        let probe = bind(self.config.probe_listen).await?;
        Ok(Listening {
            front: Front {
                hop: self.name,
                routes: Arc::new(routes),
                limits,
                budgets: Arc::new(budgets),
                persons,
                drain: Drain::default(),
            },
            tls,
            handlers: handlers.routes().prepare(),
            reporter,
            names,
            listener,
            probe,
            checks: self.checks,
            config: self.config,
        })
    }
}

async fn bind(at: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(at).await.map_err(|error| ServeError::Listen { at, error })
}

fn reflection_of(descriptors: &[u8], names: &[&'static str]) -> Result<impl Servable + use<>, ContractFault> {
    let own = FileDescriptorSet::decode(descriptors).map_err(|error| ContractFault::Unreadable(error.to_string()))?;
    names
        .iter()
        .chain(&["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"])
        .fold(
            tonic_reflection::server::Builder::configure()
                .register_file_descriptor_set(own)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET),
            |builder, name| builder.with_service_name(*name),
        )
        .build_v1()
        .map_err(|error| ContractFault::Unreadable(error.to_string()))
}

/// A server that has its addresses and serves when it is run.
#[must_use = "a server serves when it is run"]
pub struct Listening {
    front: Front,
    config: ServerConfig,
    tls: Arc<Reloaded<ServerSide>>,
    handlers: Handlers,
    reporter: HealthReporter,
    names: Vec<&'static str>,
    listener: TcpListener,
    probe: TcpListener,
    checks: Vec<Check>,
}

impl Listening {
    /// Where calls are taken.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where probes are answered.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn probe_addr(&self) -> std::io::Result<SocketAddr> {
        self.probe.local_addr()
    }

    /// Serves until `shutdown`, then drains: says "not serving", waits for that to be heard, ends streams where they
    /// can be resumed, lets calls in hand finish, and at the limit cuts what is left.
    ///
    /// # Errors
    /// When serving ends without `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServeError> {
        let drain = self.front.drain.clone();
        let (found, findings) = watch::channel(Readiness::unknown(&self.checks));
        let _looks = owned(ready::watch(self.checks, found.clone()));
        let _health = owned(report(findings.clone(), self.reporter, self.names));
        let state = probe::State::new(self.front.hop, findings, Some(Arc::clone(&self.tls)));
        let _probe = owned(probe::serve(self.probe, state, CancellationToken::new()));

        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let incoming = accept::incoming(self.listener, self.tls, Arc::new(self.config.roles.clone()), cut.clone());
        let age = Duration::from_secs(self.config.limits.max_connection_age_seconds);
        let serving = tonic::transport::Server::builder()
            .max_concurrent_streams(STREAMS_PER_CONNECTION)
            .max_connection_age(age)
            .http2_max_header_list_size(MAX_HEADERS)
            .http2_keepalive_interval(Some(KEEP_ALIVE))
            .http2_keepalive_timeout(Some(KEEP_ALIVE_ANSWER))
            .serve_with_incoming_shutdown(
                layers::stack(&self.front, self.handlers),
                incoming,
                stop.clone().cancelled_owned(),
            );
        tokio::pin!(serving);
        tracing::info!("serving");
        tokio::select! {
            _ = &mut serving => return Err(ServeError::Ended),
            () = shutdown.cancelled() => {}
        }

        tracing::info!("going down");
        found.send_modify(|readiness| {
            readiness.draining = true;
            readiness.ready = false;
        });
        let grace = Duration::from_millis(self.config.drain.grace_ms);
        tokio::select! {
            _ = &mut serving => return Err(ServeError::Ended),
            () = sleep(grace) => {}
        }
        drain.begin();
        stop.cancel();
        let limit = Duration::from_millis(self.config.drain.limit_ms);
        if timeout(limit, &mut serving).await.is_err() {
            tracing::warn!("work in hand did not finish in time and is cut");
            cut.cancel();
            let _ = timeout(AFTER_THE_END, &mut serving).await;
        }
        tracing::info!("down");
        Ok(())
    }
}

fn owned(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
}

/// Tells the health service what was found, for the whole server and for each of its services.
async fn report(mut findings: watch::Receiver<Readiness>, reporter: HealthReporter, names: Vec<&'static str>) {
    loop {
        let status =
            if findings.borrow_and_update().ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        for name in std::iter::once("").chain(names.iter().copied()) {
            reporter.set_service_status(name, status).await;
        }
        if findings.changed().await.is_err() {
            return;
        }
    }
}
