//! Every fault of a message at once, each with the field it is in.

use crate::{Reason, account::MalformedAccount, amount::MalformedAmount, id::MalformedId, transfer::MalformedTransfer};

/// One fault of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field as its contract names it, such as `content.freeze.targets[0].account`.
    pub field: String,
    /// Why it is refused.
    pub reason: Reason,
    /// In words; never repeats the value.
    pub description: String,
}

/// The faults found so far, and where the reader is in the message.
#[derive(Debug, Default)]
pub struct Violations {
    path: Vec<String>,
    found: Vec<Violation>,
}

impl Violations {
    /// None found yet, at the top of the message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a fault of a field of the message being read. An empty name means the message itself.
    pub fn add(&mut self, field: &str, reason: Reason, description: impl Into<String>) {
        let mut path = self.path.join(".");
        if !field.is_empty() {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(field);
        }
        self.found.push(Violation { field: path, reason, description: description.into() });
    }

    /// Reads a message inside this one: faults noted meanwhile are below `field`.
    pub fn within<T>(&mut self, field: impl Into<String>, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(field.into());
        let value = read(self);
        self.path.pop();
        value
    }

    /// True where nothing was found.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The value, unless a fault was found.
    ///
    /// # Errors
    /// All faults, in the order they were found.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Vec<Violation>> {
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => Err(self.found),
        }
    }
}

/// Turns a parse into a value or a noted fault.
pub trait Collect<T> {
    /// The value; or none, with the fault noted for the field.
    fn collect(self, violations: &mut Violations, field: &str) -> Option<T>;
}

impl<T, E: Into<Reason> + ToString + Clone> Collect<T> for Result<T, E> {
    fn collect(self, violations: &mut Violations, field: &str) -> Option<T> {
        match self {
            Ok(value) => Some(value),
            Err(error) => {
                violations.add(field, error.clone().into(), error.to_string());
                None
            }
        }
    }
}

impl From<MalformedAmount> for Reason {
    fn from(_: MalformedAmount) -> Self {
        Self::AmountMalformed
    }
}

impl From<MalformedAccount> for Reason {
    fn from(error: MalformedAccount) -> Self {
        match error {
            MalformedAccount::Form(_) | MalformedAccount::NotAnAddress(_) => Self::AddressMalformed,
            MalformedAccount::OtherNetwork => Self::WrongChain,
            MalformedAccount::WrongChecksum => Self::AddressChecksum,
            MalformedAccount::ChainNotSupported => Self::ChainNotSupported,
        }
    }
}

impl From<MalformedId> for Reason {
    fn from(_: MalformedId) -> Self {
        Self::FieldMalformed
    }
}

impl From<MalformedTransfer> for Reason {
    fn from(_: MalformedTransfer) -> Self {
        Self::FieldMalformed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Account, Amount};

    #[test]
    fn all_faults_are_collected_with_their_paths() {
        let mut violations = Violations::new();
        let amount = "-1".parse::<Amount>().collect(&mut violations, "cap");
        violations.within("targets[0]", |v| {
            "eip155:1:0xZZ".parse::<Account>().collect(v, "account");
            v.add("", Reason::FieldMissing, "is empty");
        });
        let found = violations.finish(amount).unwrap_err();
        let fields: Vec<_> = found.iter().map(|v| (v.field.as_str(), v.reason)).collect();
        assert_eq!(
            fields,
            [
                ("cap", Reason::AmountMalformed),
                ("targets[0].account", Reason::AddressMalformed),
                ("targets[0]", Reason::FieldMissing)
            ]
        );
    }
}
