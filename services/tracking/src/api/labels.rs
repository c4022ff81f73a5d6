//! Questions about labels.

use haetae_core::{Reason, Violations};
use haetae_service::{refuse, refuse_all};
use haetae_wire::{
    label, read,
    tracking::v1::{
        GetLabelsRequest, GetLabelsResponse, ListLabelPacksRequest, ListLabelPacksResponse, ListLabelsRequest,
        ListLabelsResponse, label_service_server::LabelService,
    },
};
use prost::Message as _;
use tonic::{Request, Response, Status};

use super::{Api, unavailable};
use crate::db;
use crate::labels::asked_about;

const ADDRESS: usize = 500;
/// What one answer holds at most; the rest comes with the next. Callers take 4 MiB.
const MOST_BYTES: usize = 2 * 1024 * 1024;

#[tonic::async_trait]
impl LabelService for Api {
    async fn get_labels(&self, request: Request<GetLabelsRequest>) -> Result<Response<GetLabelsResponse>, Status> {
        let mut v = Violations::new();
        let address = read::text(&mut v, "address", &request.into_inner().address, 1..=ADDRESS);
        let (address, chain) = asked_about(&v.finish(address).map_err(refuse_all)?);
        let found =
            db::label::of_address(self.voice.log.pool(), &address, chain.as_ref()).await.map_err(unavailable)?;
        let mut labels: Vec<_> = found.iter().map(crate::labels::Found::shown).collect();
        // Newest first among those of the same worth: the order in which they come.
        labels.sort_by_key(|label| (!label.superseded_by.is_empty(), std::cmp::Reverse(label.confidence)));
        let mut size = 0;
        labels.retain(|label| {
            size += label.encoded_len();
            size <= MOST_BYTES
        });
        Ok(Response::new(GetLabelsResponse { labels }))
    }

    async fn list_label_packs(
        &self,
        _: Request<ListLabelPacksRequest>,
    ) -> Result<Response<ListLabelPacksResponse>, Status> {
        let packs = db::label::packs(self.voice.log.pool()).await.map_err(unavailable)?;
        Ok(Response::new(ListLabelPacksResponse { packs: packs.iter().map(crate::labels::Pack::shown).collect() }))
    }

    async fn list_labels(&self, request: Request<ListLabelsRequest>) -> Result<Response<ListLabelsResponse>, Status> {
        let request = request.into_inner();
        let mut v = Violations::new();
        let id = label::read_pack_id(&mut v, "pack_id", &request.pack_id);
        let id = v.finish(id).map_err(refuse_all)?;
        let pool = self.voice.log.pool();
        let pack = db::label::pack(pool, id).await.map_err(unavailable)?.ok_or_else(|| refuse(Reason::NotFound))?;
        let mut labels = db::label::page(pool, id, request.after).await.map_err(unavailable)?;
        let mut size = 0;
        let fit = labels.iter().take_while(|label| {
            size += label.encoded_len();
            size <= MOST_BYTES
        });
        let fit = fit.count().max(1);
        labels.truncate(fit);
        Ok(Response::new(ListLabelsResponse { pack: Some(pack.shown()), labels }))
    }
}
