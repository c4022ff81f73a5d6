//! `haetae trace`.

use std::{fs, path::Path};

use haetae_core::{Amount, Collect, Moment, Reason, TransferIndex, Violations};
use haetae_wire::{
    convert::timestamp,
    exchange::v1::{AssetAmount, Transfer},
    intake::v1::{TraceRequest, trace_request::Scope},
    tracking::v1::{TraceDirection, TraceFilter, TraceQuery, trace_query::Start},
};
use serde_json::json;
use time::format_description::well_known::Rfc3339;

use super::Desk;
use crate::{
    args::Trace,
    content::{self, Names},
    failure::{Failure, counted},
    json,
    picture::{self, Flow, Form, Question},
};

pub(super) async fn run(desk: &Desk, args: Trace) -> Result<(), Failure> {
    let files = args.out.iter().map(|path| Ok((path, form(path)?))).collect::<Result<Vec<_>, Failure>>()?;
    let scope = match (&args.watch, &args.case_number) {
        (Some(watch), _) => Scope::WatchId(watch.to_string()),
        (None, case) => Scope::CaseNumber(desk.profile.case(case.as_deref())?.number),
    };
    let mut violations = Violations::new();
    let query = query(desk, &args, &mut violations);
    let query = violations.finish(query).map_err(|faults| Failure::faults("the question", faults))?;
    let question = in_words(&scope, &query, desk);
    let asked = TraceRequest {
        scope: Some(scope),
        query: Some(query),
        purpose: String::new(),
        with_legs: !args.without_freezes,
    };
    let answer = desk.intake()?.trace(asked).await?;
    let flow = Flow::of(&answer, question, &desk.out.look);
    if files.is_empty() {
        return desk.out.print(|| json::of(&answer), |look| picture::list(&flow, look));
    }
    for (path, form) in &files {
        let document =
            picture::draw(&flow, *form).map_err(|error| Failure::failed(format!("cannot draw: {error:#}")))?;
        fs::write(path, document)
            .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
    }
    let (nodes, edges) = answer.trace.as_ref().map_or((0, 0), |trace| (trace.nodes.len(), trace.edges.len()));
    let names: Vec<String> = files.iter().map(|(path, _)| path.display().to_string()).collect();
    let complete = flow.is_complete();
    let document = || Ok(json!({"files": names, "nodes": nodes, "edges": edges, "complete": complete}));
    desk.out.print(document, |_| {
        let whole = if complete { "complete" } else { "NOT COMPLETE: the picture says why" };
        let (nodes, edges) = (counted(nodes, "account"), counted(edges, "movement"));
        format!("{}: {nodes}, {edges}, {whole}\n", names.join(", "))
    })
}

fn form(path: &Path) -> Result<Form, Failure> {
    Form::of(path).ok_or_else(|| {
        Failure::usage(format!("what is {} to be?", path.display()))
            .hint("Pictures are files that end in .svg, .html, .json or .graphml.")
    })
}

/// What is asked. What only the services can judge is left to them.
fn query(desk: &Desk, args: &Trace, v: &mut Violations) -> Option<TraceQuery> {
    let chain = args.chain.as_ref().or(desk.profile.chain.as_ref());
    let start = match (&args.address, &args.transfer) {
        (Some(address), _) => {
            let account = content::account(address, chain).collect(v, "address");
            account.map(|account| Some(Start::Account(account.to_string())))
        }
        (None, Some(text)) => transfer(v, text).map(|transfer| Some(Start::Transfer(transfer))),
        (None, None) => Some(None),
    };
    let names = Names::of(&desk.profile);
    let assets: Vec<Option<String>> =
        args.assets.iter().map(|text| content::asset(v, text, &names).map(|asset| asset.to_string())).collect();
    let assets: Option<Vec<String>> = assets.into_iter().collect();
    let minimums = match (&args.min, assets.as_deref()) {
        (None, _) => Some(Vec::new()),
        (Some(min), Some([asset])) => {
            let amount: Option<Amount> = min.parse().collect(v, "min");
            amount.map(|amount| vec![AssetAmount { asset: asset.clone(), amount: amount.to_string() }])
        }
        (Some(_), _) => {
            v.add("min", Reason::FieldMalformed, "is an amount of one asset: name that with --asset");
            None
        }
    };
    let now = Moment::now_utc();
    let mut at = |field: &str, text: Option<&String>| match text {
        None => Some(None),
        Some(text) => moment(v, field, text, now).map(|moment| Some(timestamp(moment))),
    };
    let (since, until) = (at("since", args.since.as_ref()), at("until", args.until.as_ref()));
    let direction = match (args.backward, args.both) {
        (_, true) => TraceDirection::Both,
        (true, false) => TraceDirection::Backward,
        (false, false) => TraceDirection::Forward,
    };
    Some(TraceQuery {
        start: start?,
        direction: direction.into(),
        max_nodes: args.max_nodes,
        max_depth: args.max_depth,
        filter: Some(TraceFilter {
            assets: assets?,
            since: since?,
            until: until?,
            minimums: minimums?,
            include_dust: args.with_dust,
            include_retracted: args.with_retracted,
            include_untraced: args.with_untraced,
        }),
    })
}

/// `CHAIN/TRANSACTION`, or with the index in it, which may itself have a slash.
fn transfer(v: &mut Violations, text: &str) -> Option<Transfer> {
    let mut parts = text.splitn(3, '/').map(str::to_owned);
    let (Some(chain), Some(transaction)) = (parts.next(), parts.next()) else {
        v.add("transfer", Reason::FieldMalformed, "must be CHAIN/TRANSACTION or CHAIN/TRANSACTION/INDEX");
        return None;
    };
    let index = parts.next().unwrap_or_default();
    if !index.is_empty() {
        index.parse::<TransferIndex>().collect(v, "transfer")?;
    }
    Some(Transfer { chain, transaction, index })
}

/// A moment in RFC 3339, or how long ago.
fn moment(v: &mut Violations, field: &str, text: &str, now: Moment) -> Option<Moment> {
    let ago = || now.checked_sub(time::Duration::try_from(humantime::parse_duration(text).ok()?).ok()?);
    let moment = Moment::parse(text, &Rfc3339).ok().or_else(ago);
    if moment.is_none() {
        v.add(
            field,
            Reason::FieldMalformed,
            "must be a moment such as 2026-11-30T14:00:00Z, or how long ago, such as 2h",
        );
    }
    moment
}

/// The question as the picture's title says it.
fn in_words(scope: &Scope, query: &TraceQuery, desk: &Desk) -> Question {
    let scope = match scope {
        Scope::WatchId(_) => "one watch".to_owned(),
        Scope::CaseNumber(_) => "all watches of the case".to_owned(),
    };
    let (forward, backward) = match query.direction() {
        TraceDirection::Backward => ("", "to "),
        TraceDirection::Both => ("from and ", "to "),
        _ => ("from ", ""),
    };
    let start = match &query.start {
        None => "where the stolen money was".to_owned(),
        Some(Start::Account(account)) => account.clone(),
        Some(Start::Transfer(transfer)) => {
            let index = if transfer.index.is_empty() { String::new() } else { format!(" {}", transfer.index) };
            format!("transfer {}{index} on {}", transfer.transaction, transfer.chain)
        }
    };
    let filter = query.filter.clone().unwrap_or_default();
    let mut parts: Vec<String> = Vec::new();
    if !filter.assets.is_empty() {
        parts.push(format!("only {}", filter.assets.join(", ")));
    }
    let time = |name: &str, at: &Option<prost_types::Timestamp>| {
        at.as_ref().map(|at| format!("{name} {}", crate::show::time(Some(at))))
    };
    parts.extend(time("since", &filter.since));
    parts.extend(time("until", &filter.until));
    let least = |minimum: &AssetAmount| format!("at least {}", desk.out.look.amount(&minimum.asset, &minimum.amount));
    parts.extend(filter.minimums.iter().map(least));
    let with = [
        (filter.include_dust, "with dust"),
        (filter.include_retracted, "with retracted movements"),
        (filter.include_untraced, "with other money"),
    ];
    parts.extend(with.into_iter().filter(|(given, _)| *given).map(|(_, words)| words.to_owned()));
    if query.max_depth > 0 {
        parts.push(format!("at most {} from the start", counted(query.max_depth as usize, "transfer")));
    }
    Question { scope, start: format!("{forward}{backward}{start}"), filter: parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_is_named_with_or_without_its_index() {
        let mut v = Violations::new();
        let read = transfer(&mut v, "eip155:1/0xab/log/3").unwrap();
        assert_eq!(
            (read.chain.as_str(), read.transaction.as_str(), read.index.as_str()),
            ("eip155:1", "0xab", "log/3")
        );
        assert_eq!(transfer(&mut v, "eip155:1/0xab").unwrap().index, "");
        assert!(v.is_empty());
        assert_eq!(transfer(&mut v, "eip155:1/0xab/first"), None);
        assert_eq!(transfer(&mut v, "0xab"), None);
        assert_eq!(v.finish::<()>(None).unwrap_err().len(), 2);
    }

    #[test]
    fn a_moment_is_written_out_or_counted_back_from_now() {
        let mut v = Violations::new();
        let now = Moment::UNIX_EPOCH + time::Duration::hours(10);
        assert_eq!(moment(&mut v, "since", "2h", now), Some(Moment::UNIX_EPOCH + time::Duration::hours(8)));
        assert_eq!(moment(&mut v, "since", "1970-01-01T09:00:00+09:00", now), Some(Moment::UNIX_EPOCH));
        assert_eq!(moment(&mut v, "since", "yesterday", now), None);
    }
}
