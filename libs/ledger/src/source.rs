//! Where a follower's entries come from.

use std::future::Future;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use haetae_wire::log::v1::{Batch, Cursor};
use tonic::Status;

use crate::log::Log;
use crate::serve::Audience;

/// A log that can be followed, here or over the wire.
///
/// A closure from [`Cursor`] to a future is one: that is how a service wraps the `Follow` call of another's client.
#[async_trait]
pub trait LogSource: Send + Sync {
    /// Batches from the cursor on, without end. When the stream ends or fails it is asked for again.
    async fn follow(&self, cursor: Cursor) -> Result<BoxStream<'static, Result<Batch, Status>>, Status>;
}

/// A service follows its own log without a wire.
#[async_trait]
impl LogSource for Log {
    async fn follow(&self, cursor: Cursor) -> Result<BoxStream<'static, Result<Batch, Status>>, Status> {
        let batches = Log::follow(self, Audience::Everything, cursor);
        Ok(batches.map_err(Status::from).boxed())
    }
}

#[async_trait]
impl<F, Answer> LogSource for F
where
    F: Fn(Cursor) -> Answer + Send + Sync,
    Answer: Future<Output = Result<BoxStream<'static, Result<Batch, Status>>, Status>> + Send,
{
    async fn follow(&self, cursor: Cursor) -> Result<BoxStream<'static, Result<Batch, Status>>, Status> {
        self(cursor).await
    }
}
