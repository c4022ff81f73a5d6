//! Questions to tracking: of watches and confirmations here, where money is in `ends`, of labels in `labels`.

mod ends;
mod labels;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use haetae_core::{ChainId, Reason, RequestId, Violations, WatchId};
use haetae_service::{Own, refuse, refuse_all};
use haetae_wire::convert::{duration, timestamp};
use haetae_wire::operations::v1::{ChainCapability, ChainState};
use haetae_wire::read;
use haetae_wire::tracking::v1::{
    BatchGetWatchesRequest, BatchGetWatchesResponse, ChainStatus, GetConfirmationRequest, GetConfirmationResponse,
    GetWatchRequest, GetWatchResponse, ListChainsRequest, ListChainsResponse, ListTrailEndsRequest,
    ListTrailEndsResponse, ListTrailRequest, ListTrailResponse, TraceRequest, TraceResponse, TrailItem,
    tracking_service_server::TrackingService,
};
use prost::Message as _;
use sqlx::PgPool;
use sqlx::postgres::PgTransaction;
use tonic::{Request, Response, Status};

use crate::db;
use crate::page::{self, Order};
use crate::question::conclude;
use crate::source::Condition;
use crate::tell;
use crate::trace;
use crate::voice::Voice;

/// Items on a page where the caller does not say.
const PAGE: u32 = 200;
/// Items on a page at most.
const LARGEST_PAGE: u32 = 1_000;
/// Watches that are asked for at once.
const MOST_WATCHES: usize = 200;

/// Begins a transaction whose reads all see the same.
const SNAPSHOT: &str = "begin transaction isolation level repeatable read, read only";

/// Answers from what is stored.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) voice: Arc<Voice>,
}

#[tonic::async_trait]
impl TrackingService for Api {
    async fn get_watch(&self, request: Request<GetWatchRequest>) -> Result<Response<GetWatchResponse>, Status> {
        let id = parse::<WatchId>("watch_id", &request.into_inner().watch_id)?;
        let mut tx = self.snapshot().await?;
        let found = db::watch::load(&mut tx, id).await.map_err(unavailable)?;
        let (row, watched) = found.ok_or_else(|| refuse(Reason::NotFound))?;
        Ok(Response::new(GetWatchResponse { watch: Some(tell::watch(&row, &watched)) }))
    }

    async fn batch_get_watches(
        &self,
        request: Request<BatchGetWatchesRequest>,
    ) -> Result<Response<BatchGetWatchesResponse>, Status> {
        let ids = request.into_inner().watch_ids;
        if ids.len() > MOST_WATCHES {
            return Err(field("watch_ids", Reason::FieldMalformed, "names more than 200"));
        }
        let ids: Vec<_> =
            ids.iter().map(|id| Ok(parse::<WatchId>("watch_ids", id)?.0)).collect::<Result<_, Status>>()?;
        let mut tx = self.snapshot().await?;
        let found = db::watch::load_all(&mut tx, &ids).await.map_err(unavailable)?;
        let watches = found.iter().map(|(row, watched)| tell::watch(row, watched)).collect();
        Ok(Response::new(BatchGetWatchesResponse { watches }))
    }

    async fn list_trail(&self, request: Request<ListTrailRequest>) -> Result<Response<ListTrailResponse>, Status> {
        let request = request.into_inner();
        let id = parse::<WatchId>("watch_id", &request.watch_id)?;
        let size = page_size(request.page_size)?;
        let order = if request.newest_first { Order::NewestFirst } else { Order::AsFound };
        let seen = page::read(id, order, &request.page_token).ok_or_else(|| refuse(Reason::PageTokenInvalid))?;
        let stored = db::trail::items(self.voice.log.pool(), id, order, seen, size).await.map_err(unavailable)?;
        if stored.is_empty() && db::watch::chain_of(self.voice.log.pool(), id).await.map_err(unavailable)?.is_none() {
            return Err(refuse(Reason::NotFound).into());
        }
        let full = stored.len() == size as usize;
        let next_page_token = match stored.last() {
            Some((last, _)) if full => page::write(id, order, *last),
            _ => String::new(),
        };
        let items = stored
            .into_iter()
            .map(|(number, item)| Ok(TrailItem { number, ..TrailItem::decode(item.as_slice())? }))
            .collect::<Result<_, prost::DecodeError>>()
            .map_err(|_| refuse(Reason::Internal))?;
        Ok(Response::new(ListTrailResponse { items, next_page_token }))
    }

    async fn list_trail_ends(
        &self,
        request: Request<ListTrailEndsRequest>,
    ) -> Result<Response<ListTrailEndsResponse>, Status> {
        self.read_ends(request.into_inner()).await
    }

    async fn trace(&self, request: Request<TraceRequest>) -> Result<Response<TraceResponse>, Status> {
        let mut violations = Violations::new();
        let asked = trace::question::read(&request.into_inner(), &mut violations);
        let (watches, query) = violations.finish(asked).map_err(refuse_all)?;
        let mut tx = self.snapshot().await?;
        let now = self.voice.now();
        let found = trace::find(&mut tx, &watches, &query, now).await.map_err(unavailable)?;
        let trace = found.ok_or_else(|| refuse(Reason::NotFound))?;
        Ok(Response::new(TraceResponse { trace: Some(trace) }))
    }

    async fn get_confirmation(
        &self,
        request: Request<GetConfirmationRequest>,
    ) -> Result<Response<GetConfirmationResponse>, Status> {
        let id = parse::<RequestId>("request_id", &request.into_inner().request_id)?;
        let target = db::question::confirmation(self.voice.log.pool(), id).await.map_err(unavailable)?;
        let target = target.ok_or_else(|| refuse(Reason::NotFound))?;
        let questions = db::question::of_request(self.voice.log.pool(), id).await.map_err(unavailable)?;
        let mut lines = Vec::with_capacity(questions.len());
        let mut conn = self.voice.log.pool().acquire().await.map_err(unavailable)?;
        for question in &questions {
            let order = self.voice.order_answered(&mut conn, question).await.map_err(unavailable)?;
            lines.push(tell::confirmation_line(question, order));
        }
        let confirmation = tell::confirmation(id, &target, &conclude(&questions), lines);
        Ok(Response::new(GetConfirmationResponse { confirmation: Some(confirmation) }))
    }

    async fn list_chains(&self, _: Request<ListChainsRequest>) -> Result<Response<ListChainsResponse>, Status> {
        let chains = db::chain::list(self.voice.log.pool()).await.map_err(unavailable)?;
        let on_the_way = db::history::standing(self.voice.log.pool()).await.map_err(unavailable)?;
        let on_the_way = |chain: &ChainId| on_the_way.get(chain).copied().unwrap_or_default();
        let chains = chains.into_iter().map(|status| ChainStatus {
            watches_catching_up: on_the_way(&status.chain).0,
            catch_up_blocks: on_the_way(&status.chain).1,
            head_hash: status.chain.hash(status.at.hash),
            chain: status.chain.to_string(),
            head_number: status.at.number,
            node_head_number: status.node_number,
            last_block_at: Some(timestamp(status.handled_at)),
            nodes: status.condition.nodes,
            nodes_answering: status.condition.answering,
            capabilities: capabilities(status.condition),
            halted_at: status.halt.map(|halt| timestamp(halt.since)),
            halted_by_number: status.halt.map(|halt| halt.by.number).unwrap_or_default(),
            halted_by_hash: status.halt.map(|halt| status.chain.hash(halt.by.hash)).unwrap_or_default(),
        });
        Ok(Response::new(ListChainsResponse { chains: chains.collect() }))
    }
}

impl Api {
    /// One look at everything, so that the parts of a watch fit together.
    async fn snapshot(&self) -> Result<PgTransaction<'static>, Status> {
        self.voice.log.pool().begin_with(SNAPSHOT).await.map_err(unavailable)
    }
}

fn page_size(asked: i32) -> Result<u32, Status> {
    match u32::try_from(asked) {
        Ok(0) => Ok(PAGE),
        Ok(size) => Ok(size.min(LARGEST_PAGE)),
        Err(_) => Err(field("page_size", Reason::FieldMalformed, "must not be negative")),
    }
}

/// How the chains stand, for operators. `block_times` are the usual times between the blocks of those that are read.
pub(crate) async fn own(pool: PgPool, block_times: Arc<BTreeMap<ChainId, Duration>>) -> Result<Own, sqlx::Error> {
    let stored = db::chain::list(&pool).await?;
    let on_the_way = db::history::standing(&pool).await?;
    let chains = block_times.iter().map(|(chain, block_time)| {
        let read = stored.iter().find(|status| status.chain == *chain);
        let condition = read.map(|status| status.condition).unwrap_or_default();
        ChainState {
            chain: chain.to_string(),
            read_block: read.map(|status| status.at.number).unwrap_or_default(),
            node_block: read.map(|status| status.node_number).unwrap_or_default(),
            last_block_at: read.map(|status| timestamp(status.handled_at)),
            block_time: Some(duration(*block_time)),
            nodes: condition.nodes,
            nodes_answering: condition.answering,
            capabilities: capabilities(condition),
            halted_at: read.and_then(|status| status.halt).map(|halt| timestamp(halt.since)),
            watches_catching_up: on_the_way.get(chain).map_or(0, |(watches, _)| *watches),
            catch_up_blocks: on_the_way.get(chain).map_or(0, |(_, blocks)| *blocks),
        }
    });
    Ok(Own { chains: chains.collect(), ..Own::default() })
}

fn capabilities(condition: Condition) -> Vec<i32> {
    let offered = condition.internal_transfers.then_some(ChainCapability::InternalTransfers);
    offered.into_iter().map(i32::from).collect()
}

fn parse<T>(name: &str, text: &str) -> Result<T, Status>
where
    T: std::str::FromStr,
    Result<T, T::Err>: haetae_core::Collect<T>,
{
    let mut violations = Violations::new();
    let parsed = read::parse(&mut violations, name, text);
    violations.finish(parsed).map_err(|faults| refuse_all(faults).into())
}

fn field(name: &str, reason: Reason, description: &str) -> Status {
    let mut violations = Violations::new();
    violations.add(name, reason, description);
    refuse_all(violations.finish::<()>(None).err().unwrap_or_default()).into()
}

/// What the database says may hold more than a caller should see.
fn unavailable(error: sqlx::Error) -> Status {
    tracing::error!(%error, "the database does not answer");
    refuse(Reason::Internal).into()
}
