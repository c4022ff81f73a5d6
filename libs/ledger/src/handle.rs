//! What a service does about an entry, and what it means when that fails.

use async_trait::async_trait;
use sqlx::PgConnection;

use crate::append::AppendError;
use crate::cursor::FollowedEntry;
use crate::read::ReadError;

/// A service's effect of an entry.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Writes the effect in `tx`, the transaction that moves the cursor: both happen, or neither. May run again for the
    /// same entry after a failure, and then finds nothing of its earlier writes; so it writes nowhere else.
    /// The current span continues the entry's trace.
    ///
    /// # Errors
    ///
    /// See [`HandleError`].
    async fn handle(&self, tx: &mut PgConnection, entry: &FollowedEntry) -> Result<(), HandleError>;
}

/// Why an entry was not handled.
#[derive(Debug)]
pub enum HandleError {
    /// It would fail again on a healthy system. The entry is parked (after a second attempt), and later entries of its
    /// subject behind it. The text is stored for operators.
    Poison(anyhow::Error),
    /// Something it needs is not available. It is tried again until it works, and nothing passes it.
    Retry(anyhow::Error),
}

impl HandleError {
    /// The fact itself cannot be handled.
    pub fn poison(error: impl Into<anyhow::Error>) -> Self {
        Self::Poison(error.into())
    }

    /// Something else is unavailable.
    pub fn retry(error: impl Into<anyhow::Error>) -> Self {
        Self::Retry(error.into())
    }
}

impl From<sqlx::Error> for HandleError {
    fn from(error: sqlx::Error) -> Self {
        if recurs(&error) { Self::Poison(error.into()) } else { Self::Retry(error.into()) }
    }
}

impl From<AppendError> for HandleError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Database(error) => error.into(),
            AppendError::Malformed(_) | AppendError::TooLarge(_) => Self::Poison(error.into()),
            // Someone else appended meanwhile; a second look decides on what is there now.
            AppendError::Conflict { .. } => Self::Retry(error.into()),
        }
    }
}

impl From<ReadError> for HandleError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Database(error) => error.into(),
            ReadError::Beyond(_) | ReadError::Tree(_) => Self::Retry(error.into()),
        }
    }
}

/// A payload that is not its message will never be.
impl From<prost::DecodeError> for HandleError {
    fn from(error: prost::DecodeError) -> Self {
        Self::Poison(error.into())
    }
}

/// Whether a healthy database would say the same again: the data do not fit. Everything else is taken for
/// unavailability — also a missing table or column, which means that the schema is behind the code.
fn recurs(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            // Data exceptions, violated constraints, an exception raised by a trigger, and a transaction that went on
            // after one of these was swallowed.
            code.starts_with("22") || code.starts_with("23") || code == "P0001" || code == "25P02"
        }),
        sqlx::Error::RowNotFound
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::Decode(_)
        | sqlx::Error::Encode(_) => true,
        _ => false,
    }
}
