//! Where the money of a watch is.

use std::collections::{BTreeMap, BTreeSet};

use haetae_core::{Account, Amount, Reason, WatchId};
use haetae_service::refuse;
use haetae_wire::convert::timestamp;
use haetae_wire::exchange::v1 as exchange;
use haetae_wire::tracking::v1::{ListTrailEndsRequest, ListTrailEndsResponse, PlaceTotal, TrailEndReason, TrailPlace};
use tonic::{Response, Status};

use super::{Api, field, page_size, parse, unavailable};
use crate::db;
use crate::ends::{Spot, Why, spots};
use crate::page;
use crate::said::TrailEnd;
use crate::tell;
use crate::trail::EndReason;

impl Api {
    pub(super) async fn read_ends(
        &self,
        request: ListTrailEndsRequest,
    ) -> Result<Response<ListTrailEndsResponse>, Status> {
        let id = parse::<WatchId>("watch_id", &request.watch_id)?;
        let size = page_size(request.page_size)? as usize;
        let wanted = reasons(&request.reasons)?;
        let after = page::read_place(id, &request.page_token).ok_or_else(|| refuse(Reason::PageTokenInvalid))?;
        let mut tx = self.snapshot().await?;
        let found = db::watch::load(&mut tx, id).await.map_err(unavailable)?;
        let (row, watched) = found.ok_or_else(|| refuse(Reason::NotFound))?;

        let mut spots: Vec<(String, TrailEndReason, Spot<'_>)> = spots(&watched)
            .into_iter()
            .map(|spot| (reason(&spot), spot))
            .filter(|(reason, _)| wanted.is_empty() || wanted.contains(&i32::from(*reason)))
            .map(|(reason, spot)| (format!("{} {} {}", spot.account, spot.asset, i32::from(reason)), reason, spot))
            .collect();
        spots.sort_by(|one, other| one.0.cmp(&other.0));
        let totals = totals(&spots);
        spots.retain(|(name, ..)| *name > after);
        let more = spots.len() > size;
        spots.truncate(size);
        let next_page_token = match spots.last() {
            Some((last, ..)) if more => page::write_place(id, last),
            _ => String::new(),
        };
        let labelled: Vec<&Account> =
            spots.iter().filter(|(.., spot)| is_crossing(spot)).map(|(.., spot)| spot.account).collect();
        let labels = db::label::of_known(&mut tx, id, &labelled).await.map_err(unavailable)?;
        let places = spots.iter().map(|(_, reason, spot)| TrailPlace {
            label: labels.get(spot.account).filter(|_| is_crossing(spot)).map(crate::labels::Found::shown),
            ..place(*reason, spot)
        });
        let taint_rule = exchange::TaintRule::from(row.terms.rule).into();
        Ok(Response::new(ListTrailEndsResponse { places: places.collect(), totals, next_page_token, taint_rule }))
    }
}

fn reasons(numbers: &[i32]) -> Result<BTreeSet<i32>, Status> {
    let known = |number: &i32| TrailEndReason::try_from(*number).is_ok_and(|one| one != TrailEndReason::Unspecified);
    if numbers.iter().all(known) {
        return Ok(numbers.iter().copied().collect());
    }
    Err(field("reasons", Reason::FieldMalformed, "holds a value that the contract does not know"))
}

fn reason(spot: &Spot<'_>) -> TrailEndReason {
    match spot.why {
        Why::Unspent => TrailEndReason::Unspent,
        Why::Ended(end) => tell::end_reason(end),
    }
}

fn is_crossing(spot: &Spot<'_>) -> bool {
    matches!(spot.why, Why::Ended(TrailEnd::Other(EndReason::Crossing(_))))
}

fn place(reason: TrailEndReason, spot: &Spot<'_>) -> TrailPlace {
    TrailPlace {
        account: spot.account.to_string(),
        asset: spot.asset.to_string(),
        traced_amount: spot.traced.to_string(),
        reason: reason.into(),
        exchange: spot.exchange.as_ref().map(ToString::to_string).unwrap_or_default(),
        label: None,
        transfer: spot.last.map(|last| exchange::Transfer::from(&last.transfer)),
        from: spot.last.map(|last| last.from.to_string()).unwrap_or_default(),
        block_number: spot.last.map(|last| last.place.block).unwrap_or_default(),
        since: spot.last.map(|last| timestamp(last.seen_at)),
        transfers: spot.transfers,
        depth: spot.depth,
        provisional: spot.provisional,
    }
}

fn totals(spots: &[(String, TrailEndReason, Spot<'_>)]) -> Vec<PlaceTotal> {
    let mut totals: BTreeMap<(String, i32), (Amount, u32)> = BTreeMap::new();
    for (_, reason, spot) in spots {
        let (traced, places) = totals.entry((spot.asset.to_string(), i32::from(*reason))).or_default();
        *traced = traced.saturating_add(spot.traced);
        *places = places.saturating_add(1);
    }
    let total = |((asset, reason), (traced, places)): ((String, i32), (Amount, u32))| PlaceTotal {
        asset,
        reason,
        traced_amount: traced.to_string(),
        places,
    };
    totals.into_iter().map(total).collect()
}
