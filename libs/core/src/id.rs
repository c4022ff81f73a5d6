//! Typed ids: UUIDs for what the mesh makes, short names for who takes part.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

/// Namespace of everything that is derived from its natural identity (UUIDv5).
const DERIVED: Uuid = Uuid::from_u128(0x6861_6574_6165_5000_8000_0000_0000_0001);

/// UUIDv5 over a kind and the parts of a natural identity. Each part is preceded by its length, so
/// that no two lists of parts give the same name. The same fact read again gives the same id.
pub fn derived(kind: &str, parts: &[&str]) -> Uuid {
    let mut name = Vec::new();
    for part in std::iter::once(&kind).chain(parts) {
        name.extend_from_slice(&(part.len() as u64).to_be_bytes());
        name.extend_from_slice(part.as_bytes());
    }
    Uuid::new_v5(&DERIVED, &name)
}

/// A text that is not an id of the kind wanted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MalformedId {
    /// Not a UUID.
    #[error("must be a UUID in its hyphenated lowercase form")]
    Uuid,
    /// Not a name.
    #[error("must be 1 to {0} characters of a–z, 0–9 and '-', starting with a letter or digit")]
    Name(usize),
    /// Not a person's id.
    #[error("must be 1 to 128 visible ASCII characters")]
    Person,
}

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = MalformedId;

            fn from_str(text: &str) -> Result<Self, MalformedId> {
                let id = Uuid::try_parse(text).map_err(|_| MalformedId::Uuid)?;
                // One spelling only, so that what is compared as text is compared as an id.
                if id.hyphenated().to_string() == text { Ok(Self(id)) } else { Err(MalformedId::Uuid) }
            }
        }
    )*};
}

uuid_id! {
    /// A request of an agency.
    RequestId
    /// A watch.
    WatchId
    /// One authorisation; the first of a line names the line.
    AuthorisationId
    /// One (authorisation line, exchange, target, asset).
    LegId
    /// Stolen money reaching an exchange: one (watch, transfer).
    ArrivalId
    /// Traced money moving: one (watch, transfer).
    HopId
}

macro_rules! name_id {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = MalformedId;

            fn from_str(text: &str) -> Result<Self, MalformedId> {
                if is_name(text) { Ok(Self(text.to_owned())) } else { Err(MalformedId::Name(MAX_NAME)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = MalformedId;

            fn try_from(text: String) -> Result<Self, MalformedId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    )*};
}

const MAX_NAME: usize = 40;

fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= MAX_NAME && text.bytes().next().is_some_and(plain) && text.bytes().all(|b| plain(b) || b == b'-')
}

name_id! {
    /// An exchange's name in the mesh, such as `upbit`; it also stands in its connector's certificate.
    ExchangeId
    /// An agency, such as `knp`.
    AgencyId
    /// A unit within an agency.
    UnitId
}

/// A person's id at the agency: the subject of the person's token. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PersonId(String);

impl PersonId {
    /// The id as the token had it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PersonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonId(…)")
    }
}

impl FromStr for PersonId {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        if (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(MalformedId::Person)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_join_to_the_same_text_give_different_ids() {
        assert_ne!(derived("leg", &["ab", "c"]), derived("leg", &["a", "bc"]));
        assert_ne!(derived("leg", &["a"]), derived("lega", &[]));
    }

    #[test]
    fn a_derived_id_never_changes() {
        assert_eq!(derived("leg", &["a", "b"]).to_string(), "c3196d06-45f4-51e4-8a5b-bd27eb05dd09");
    }

    #[test]
    fn names_that_could_not_stand_in_a_certificate_are_refused() {
        for bad in ["", "Upbit", "-upbit", "up bit", "업비트", "a/b", &"x".repeat(41)] {
            assert_eq!(bad.parse::<ExchangeId>(), Err(MalformedId::Name(40)), "{bad}");
        }
        assert!("upbit".parse::<ExchangeId>().is_ok());
    }

    #[test]
    fn a_uuid_has_one_spelling() {
        assert!("6f0c7f6e-8d4f-4c86-9c53-5c0b4c1f7c11".parse::<RequestId>().is_ok());
        assert!("6F0C7F6E-8D4F-4C86-9C53-5C0B4C1F7C11".parse::<RequestId>().is_err());
        assert!("6f0c7f6e8d4f4c869c535c0b4c1f7c11".parse::<RequestId>().is_err());
    }

    proptest::proptest! {
        #[test]
        fn different_parts_make_different_ids(
            a in proptest::collection::vec("[ab/]{0,3}", 0..4),
            b in proptest::collection::vec("[ab/]{0,3}", 0..4),
        ) {
            let id = |parts: &[String]| derived("leg", &parts.iter().map(String::as_str).collect::<Vec<_>>());
            proptest::prop_assert_eq!(a == b, id(&a) == id(&b));
        }
    }
}
