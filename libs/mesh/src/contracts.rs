//! What the contracts say about methods: their names, whether they stream, and who may call them.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use prost_reflect::{DescriptorPool, MethodDescriptor, Value};

use crate::identity::{IdPattern, Identity, Role, listed};

/// The option that names a method's callers, in `haetae/mesh/v1/options.proto`.
const CALLERS: &str = "haetae.mesh.v1.callers";

/// Services that no contract of ours describes and every server offers. (`Health/List` is not implemented.)
const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";

/// A method as a contract describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    /// Full name of its service, such as `haetae.intake.v1.IntakeService`.
    pub service: String,
    /// Its own name.
    pub name: String,
    /// Whether the caller sends a stream.
    pub client_streaming: bool,
    /// Whether the answer is a stream.
    pub server_streaming: bool,
}

impl Method {
    fn new(service: &str, name: &str, client_streaming: bool, server_streaming: bool) -> Self {
        Self { service: service.to_owned(), name: name.to_owned(), client_streaming, server_streaming }
    }

    /// `package.Service/Method`: the name of spans and metrics.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.service, self.name)
    }

    /// Whether it streams in either direction.
    pub fn streams(&self) -> bool {
        self.client_streaming || self.server_streaming
    }
}

/// Who may call.
#[derive(Debug, Clone)]
pub(crate) enum Access {
    /// Every identity with one of these roles.
    Roles(Vec<Role>),
    /// Every identity with any role: health.
    AnyRole,
    /// The identities that configuration lists: public services.
    Listed(Arc<[IdPattern]>),
}

impl Access {
    /// An empty list allows nobody.
    pub(crate) fn allows(&self, caller: &Identity) -> bool {
        match self {
            Self::Roles(roles) => caller.role.is_some_and(|role| roles.contains(&role)),
            Self::AnyRole => caller.role.is_some(),
            Self::Listed(patterns) => listed(&caller.spiffe, patterns),
        }
    }
}

/// A method that a server offers, with what the server was told about it.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) method: Method,
    /// `package.Service/Method`.
    pub(crate) full_name: Arc<str>,
    pub(crate) access: Access,
    /// A person's token must come with the call.
    pub(crate) person: bool,
    /// Counts against rates; health and reflection do not.
    pub(crate) counted: bool,
}

/// How a server was told to offer a service.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) service: &'static str,
    /// The callers from configuration; none where the contract says who may call.
    pub(crate) public: Option<Arc<[IdPattern]>>,
    pub(crate) person: bool,
}

/// Why a server does not start: its contracts and what it offers do not fit.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ContractFault {
    /// The descriptor set cannot be read.
    #[error("the descriptor set cannot be read: {0}")]
    Unreadable(String),
    /// A service without a description.
    #[error("{0} is not in the descriptor set")]
    UnknownService(String),
    /// A method that names no role that may call it.
    #[error("{0} has no `{CALLERS}` option: nobody could tell who may call it")]
    NoCallers(String),
    /// A method that names a role that does not exist.
    #[error("{method}: {fault}")]
    UnknownRole {
        /// The method.
        method: String,
        /// What is wrong.
        fault: String,
    },
}

/// Every method of a server by its path, `/package.Service/Method`.
#[derive(Debug)]
pub(crate) struct Routes(HashMap<String, Arc<Served>>);

impl Routes {
    /// Reads who may call what. Every method of every offered service must say so.
    pub(crate) fn read(
        descriptors: &[u8],
        offers: &[Offer],
        reflection: Option<Vec<Role>>,
    ) -> Result<Self, ContractFault> {
        let pool = DescriptorPool::decode(descriptors).map_err(|error| ContractFault::Unreadable(error.to_string()))?;
        let mut routes = Self(HashMap::new());
        for offer in offers {
            let service = pool
                .get_service_by_name(offer.service)
                .ok_or_else(|| ContractFault::UnknownService(offer.service.to_owned()))?;
            for method in service.methods() {
                let access = match &offer.public {
                    Some(listed) => Access::Listed(Arc::clone(listed)),
                    None => Access::Roles(callers_of(&pool, &method)?),
                };
                routes.insert(described(&method), access, offer.person, true);
            }
        }
        for (name, streams) in [("Check", false), ("Watch", true)] {
            let method = Method::new(HEALTH, name, false, streams);
            routes.insert(method, Access::AnyRole, false, false);
        }
        if let Some(roles) = reflection {
            let method = Method::new(REFLECTION, "ServerReflectionInfo", true, true);
            routes.insert(method, Access::Roles(roles), false, false);
        }
        Ok(routes)
    }

    fn insert(&mut self, method: Method, access: Access, person: bool, counted: bool) {
        let full_name: Arc<str> = method.full_name().into();
        let served = Served { method, full_name: Arc::clone(&full_name), access, person, counted };
        self.0.insert(format!("/{full_name}"), Arc::new(served));
    }

    pub(crate) fn find(&self, path: &str) -> Option<Arc<Served>> {
        self.0.get(path).cloned()
    }
}

fn described(method: &MethodDescriptor) -> Method {
    Method::new(
        method.parent_service().full_name(),
        method.name(),
        method.is_client_streaming(),
        method.is_server_streaming(),
    )
}

fn callers_of(pool: &DescriptorPool, method: &MethodDescriptor) -> Result<Vec<Role>, ContractFault> {
    let name = || described(method).full_name();
    let options = method.options();
    let named = pool.get_extension_by_name(CALLERS).map(|extension| options.get_extension(&extension).into_owned());
    let Some(Value::List(named)) = named else {
        return Err(ContractFault::NoCallers(name()));
    };
    if named.is_empty() {
        return Err(ContractFault::NoCallers(name()));
    }
    named
        .iter()
        .map(|role| {
            role.as_str()
                .unwrap_or_default()
                .parse()
                .map_err(|fault| ContractFault::UnknownRole { method: name(), fault })
        })
        .collect()
}

/// A method by its path, for callers: from our own contracts, health and reflection.
pub(crate) fn known(path: &str) -> Option<&'static Arc<Method>> {
    static KNOWN: OnceLock<HashMap<String, Arc<Method>>> = OnceLock::new();
    KNOWN
        .get_or_init(|| {
            // A client of a set that does not decode knows no names; a server would not start with it.
            let described: Vec<Method> = DescriptorPool::decode(haetae_wire::DESCRIPTORS)
                .map(|pool| {
                    pool.services().flat_map(|s| s.methods().map(|m| described(&m)).collect::<Vec<_>>()).collect()
                })
                .unwrap_or_default();
            described
                .into_iter()
                .chain([
                    Method::new(HEALTH, "Check", false, false),
                    Method::new(HEALTH, "Watch", false, true),
                    Method::new(REFLECTION, "ServerReflectionInfo", true, true),
                ])
                .map(|m| (format!("/{}", m.full_name()), Arc::new(m)))
                .collect()
        })
        .get(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUDIT: &str = "haetae.audit.v1.AuditService";

    fn offer(service: &'static str) -> Offer {
        Offer { service, public: None, person: false }
    }

    #[test]
    fn a_contract_says_who_may_call_and_health_is_always_there() {
        let routes = Routes::read(haetae_wire::DESCRIPTORS, &[offer(AUDIT)], None).unwrap();
        let checkpoint = routes.find(&format!("/{AUDIT}/GetCheckpoint")).unwrap();
        let Access::Roles(roles) = &checkpoint.access else {
            panic!("roles expected");
        };
        assert_eq!(roles, &[Role::Auditor, Role::Intake]);
        assert!(routes.find("/grpc.health.v1.Health/Check").is_some());
        assert!(routes.find("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo").is_none());
    }

    #[test]
    fn a_service_without_a_description_is_not_served() {
        let fault = Routes::read(haetae_wire::DESCRIPTORS, &[offer("x.Y")], None).unwrap_err();
        assert_eq!(fault, ContractFault::UnknownService("x.Y".into()));
    }

    #[test]
    fn callers_know_the_names_of_all_contracts() {
        assert!(!known(&format!("/{AUDIT}/ListLeaves")).unwrap().streams());
        assert!(known("/grpc.health.v1.Health/Watch").unwrap().streams());
        assert!(known("/somebody/elses").is_none());
    }

    #[test]
    fn an_empty_list_allows_nobody() {
        let caller = Identity {
            spiffe: "spiffe://police.example/auditor/a".into(),
            role: Some(Role::Auditor),
            exchange: None,
            system: None,
        };
        assert!(!Access::Roles(vec![]).allows(&caller));
        assert!(!Access::Listed([].into()).allows(&caller));
        assert!(Access::AnyRole.allows(&caller));
    }
}
