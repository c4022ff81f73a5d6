//! What intake knows of a request before the service that carries it out has read of it.

use haetae_core::{Amount, WatchId};
use haetae_wire::{convert::timestamp, exchange::v1 as exchange, tracking::v1 as tracking};

use crate::{approval::State, proposal::Asked, request::Request};

/// The answers to a question that nobody has been asked yet; none where the request asks none.
pub(super) fn confirmation(request: &Request) -> Option<tracking::Confirmation> {
    let Asked::ConfirmAddress(target) = &request.proposal.asked else { return None };
    Some(tracking::Confirmation {
        request_id: request.id.to_string(),
        target: Some(target.into()),
        conclusion: tracking::Conclusion::Open.into(),
        lines: Vec::new(),
    })
}

/// A watch that is not taken up yet, or that tracking refused to take up; none where the request starts none.
pub(super) fn watch(request: &Request, id: WatchId) -> Option<tracking::Watch> {
    let Asked::Watch(watch) = &request.proposal.asked else { return None };
    let totals = watch.stolen.iter().map(|(asset, stolen)| tracking::TracedTotals {
        asset: asset.to_string(),
        stolen: stolen.to_string(),
        arrived: Amount::ZERO.to_string(),
        in_flight: stolen.to_string(),
        ended: Amount::ZERO.to_string(),
    });
    let refused = request.life.state == State::Closed;
    let state = if refused { tracking::WatchState::Ended } else { tracking::WatchState::Pending };
    Some(tracking::Watch {
        watch_id: id.to_string(),
        request_id: request.id.to_string(),
        root: Some((&watch.root).into()),
        state: state.into(),
        until: request.watch_until.map(timestamp),
        totals: totals.collect(),
        taint_rule: exchange::TaintRule::from(watch.rule.unwrap_or_default()).into(),
        ..tracking::Watch::default()
    })
}
