//! Labels: taken in part by part, and read on tracking's answer.

use std::{pin::Pin, time::Duration};

use futures::Stream;
use haetae_core::{Reason, Violations};
use haetae_service::{refuse, refuse_all};
use haetae_wire::{
    intake::v1::{
        self, ImportLabelsRequest, ImportLabelsResponse, import_labels_request::Part,
        label_service_server::LabelService,
    },
    label, read,
    tracking::v1 as tracking,
};
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};

use super::{
    Api,
    caller::Caller,
    now,
    reads::{Reading, from_peer, purpose},
};
use crate::labels::may_curate;

/// How long the next part of a pack is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const ADDRESS: usize = 500;

type Imports = Pin<Box<dyn Stream<Item = Result<ImportLabelsResponse, Status>> + Send>>;

#[tonic::async_trait]
impl LabelService for Api {
    type ImportLabelsStream = Imports;

    async fn import_labels(
        &self,
        request: Request<Streaming<ImportLabelsRequest>>,
    ) -> Result<Response<Imports>, Status> {
        let caller = Caller::of(&request)?;
        may_curate(&self.intake.rules, &caller.unit.agency, caller.actor()).map_err(refuse)?;
        let (intake, by) = (std::sync::Arc::clone(&self.intake), caller.by);
        let mut parts = request.into_inner();
        let answers = async_stream::try_stream! {
            let mut begun = None;
            while let Some(part) = next(&mut parts).await? {
                match (part.part, &begun) {
                    (Some(Part::Pack(pack)), None) => {
                        let (id, answer) = intake.begin_pack(&pack, &by, now()).await?;
                        begun = Some((id, pack.says.unwrap_or_default()));
                        yield answer;
                    }
                    (Some(Part::Chunk(chunk)), Some((id, head))) => {
                        yield intake.take_labels(*id, head, &chunk, &by, now()).await?;
                    }
                    _ => Err(out_of_turn())?,
                }
            }
        };
        Ok(Response::new(Box::pin(answers)))
    }

    async fn get_labels(
        &self,
        request: Request<v1::GetLabelsRequest>,
    ) -> Result<Response<v1::GetLabelsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let mut v = Violations::new();
        let address = read::text(&mut v, "address", &message.address, 1..=ADDRESS);
        purpose(&mut v, &message.purpose);
        let address = v.finish(address).map_err(refuse_all)?;
        let reading = Reading { method: "GetLabels", resource: address.clone(), purpose: &message.purpose };
        self.record(&caller, reading, now()).await?;
        let question = tracking::GetLabelsRequest { address };
        let answer = self.labels.clone().get_labels(question).await.map_err(from_peer)?.into_inner();
        Ok(Response::new(v1::GetLabelsResponse { labels: answer.labels }))
    }

    async fn list_label_packs(
        &self,
        request: Request<v1::ListLabelPacksRequest>,
    ) -> Result<Response<v1::ListLabelPacksResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let mut v = Violations::new();
        purpose(&mut v, &message.purpose);
        v.finish(Some(())).map_err(refuse_all)?;
        let reading = Reading { method: "ListLabelPacks", resource: String::new(), purpose: &message.purpose };
        self.record(&caller, reading, now()).await?;
        let question = tracking::ListLabelPacksRequest {};
        let answer = self.labels.clone().list_label_packs(question).await.map_err(from_peer)?.into_inner();
        Ok(Response::new(v1::ListLabelPacksResponse { packs: answer.packs }))
    }

    async fn list_labels(
        &self,
        request: Request<v1::ListLabelsRequest>,
    ) -> Result<Response<v1::ListLabelsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let message = request.into_inner();
        let mut v = Violations::new();
        let pack = label::read_pack_id(&mut v, "pack_id", &message.pack_id);
        purpose(&mut v, &message.purpose);
        v.finish(pack).map_err(refuse_all)?;
        let reading = Reading { method: "ListLabels", resource: message.pack_id.clone(), purpose: &message.purpose };
        self.record(&caller, reading, now()).await?;
        let question = tracking::ListLabelsRequest { pack_id: message.pack_id, after: message.after };
        let answer = self.labels.clone().list_labels(question).await.map_err(from_peer)?.into_inner();
        Ok(Response::new(v1::ListLabelsResponse { pack: answer.pack, labels: answer.labels }))
    }
}

async fn next(parts: &mut Streaming<ImportLabelsRequest>) -> Result<Option<ImportLabelsRequest>, Status> {
    let next = timeout(PATIENCE, parts.message()).await;
    next.map_err(|_| refuse(Reason::DeadlineExceeded))?
}

fn out_of_turn() -> Status {
    let mut v = Violations::new();
    v.add("part", Reason::FieldMalformed, "must be the head of the pack first, and then labels only");
    refuse_all(v.finish::<()>(None).err().unwrap_or_default()).into()
}
