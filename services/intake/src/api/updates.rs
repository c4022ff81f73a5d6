//! Everything that happens to what a unit may see, as a stream that can be resumed anywhere.

use std::time::Duration;

use async_stream::try_stream;
use futures::{StreamExt, stream::BoxStream};
use haetae_core::{Reason, RequestId, Violations};
use haetae_mesh::Drain;
use haetae_service::{refuse, refuse_all};
use haetae_wire::{intake::v1, read};
use prost::Message;
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use super::{
    Api,
    caller::Caller,
    now, page,
    reads::{Reading, purpose},
};
use crate::{commands::Fault, db};

/// A stream of updates.
pub(crate) type Updates = BoxStream<'static, Result<v1::FollowUpdatesResponse, Status>>;

/// How often a stream looks without being woken.
const POLL: Duration = Duration::from_millis(200);
/// Updates read at once.
const BATCH: i64 = 200;

impl Api {
    pub(super) async fn read_updates(
        &self,
        request: Request<v1::FollowUpdatesRequest>,
    ) -> Result<Response<Updates>, Status> {
        let caller = Caller::of(&request)?;
        let drain = request.extensions().get::<Drain>().cloned().unwrap_or_default();
        let message = request.into_inner();
        let mut v = Violations::new();
        let of = read::parse_optional::<RequestId>(&mut v, "request_id", &message.request_id);
        purpose(&mut v, &message.purpose);
        let handled = page::handled(&caller.unit, &message.cursor)
            .map_err(|reason| v.add("cursor", reason, "is not one that was given to this unit"))
            .ok();
        let (of, mut handled) = v.finish(of.zip(handled)).map_err(refuse_all)?;
        if let Some(id) = of {
            self.visible(&caller, id).await?;
        }
        let reading = Reading { method: "FollowUpdates", resource: message.request_id, purpose: &message.purpose };
        self.record(&caller, reading, now()).await?;

        let pool = self.intake.log.pool().clone();
        let mut bell = self.bell.subscribe();
        let unit = caller.unit;
        let updates = try_stream! {
            while !drain.begun() {
                // Before reading: what is rung from here on wakes.
                bell.mark_unchanged();
                let found = db::updates::after(&pool, &unit, handled, of, BATCH).await.map_err(Fault::from)?;
                let waits = found.is_empty();
                for (number, body) in found {
                    let mut update = v1::FollowUpdatesResponse::decode(body.as_slice())
                        .map_err(|_| Status::from(refuse(Reason::Internal)))?;
                    update.cursor = page::cursor(&unit, number);
                    handled = number;
                    yield update;
                }
                if waits {
                    tokio::select! {
                        () = drain.wait() => {}
                        // Either way it is time to look again.
                        _ = timeout(POLL, bell.changed()) => {}
                    }
                }
            }
        };
        Ok(Response::new(updates.boxed()))
    }
}
