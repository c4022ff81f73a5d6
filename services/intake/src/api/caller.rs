//! Who calls: a person, through a system.

use haetae_core::{PersonId, Reason};
use haetae_mesh::{Identity, Person};
use haetae_service::refuse;
use tonic::{Request, Status};

use crate::{approval::Actor, commands::By, db::Unit};

/// A person, the unit whose requests the person may see, and the system in between.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) person: PersonId,
    pub(super) roles: Vec<String>,
    pub(super) unit: Unit,
    pub(super) by: By,
}

impl Caller {
    /// Who the layers in front have established the caller to be.
    pub(super) fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let extensions = request.extensions();
        let person = extensions.get::<Person>().ok_or_else(|| refuse(Reason::TokenMissing))?;
        let system = extensions.get::<Identity>().and_then(|identity| identity.system.clone());
        let system = system.ok_or_else(|| refuse(Reason::CallerNotAllowed))?;
        let id: PersonId = person.id.parse().map_err(|_| refuse(Reason::TokenInvalid))?;
        Ok(Self {
            roles: person.roles.clone(),
            unit: Unit {
                agency: person.agency.parse().map_err(|_| refuse(Reason::TokenInvalid))?,
                unit: person.unit.parse().map_err(|_| refuse(Reason::TokenInvalid))?,
            },
            by: By { actor: format!("person:{}", id.as_str()), person: id.as_str().to_owned(), system },
            person: id,
        })
    }

    pub(super) fn actor(&self) -> Actor<'_> {
        Actor { person: &self.person, roles: &self.roles }
    }
}
