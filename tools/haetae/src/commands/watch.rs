//! `haetae watch`.

use haetae_wire::{
    exchange::v1::TaintRule,
    intake::v1::{ListTrailResponse, ListWatchesResponse},
    tracking::v1::{CatchingUp, TracedTotals, TrailItem, Watch, WatchState},
};
use serde_json::json;

use super::{Desk, ends};
use crate::{
    args::WatchCommand,
    failure::{Failure, counted},
    json,
    show::{Look, safe, time, words},
    table::{Rows, facts, plain},
    trail::{self, Trail},
};

pub(super) async fn run(desk: &Desk, command: WatchCommand) -> Result<(), Failure> {
    let mut intake = desk.intake()?;
    let (id, newest) = match command {
        WatchCommand::Show { id, newest } => (id.to_string(), newest),
        WatchCommand::Ends { id, reasons } => return ends::run(desk, id, &reasons).await,
        WatchCommand::List { case, state, limit } => {
            let state = state.and_then(|state| WatchState::try_from(state).ok()).unwrap_or_default();
            let list = intake.watches(case.unwrap_or_default(), state, limit).await?;
            return desk.out.print(|| json::of(&list), |look| table(&list, look));
        }
    };
    let watch = intake.watch(id.clone()).await?;
    let items = match newest {
        Some(most) => intake.newest_of_trail(&id, most).await?,
        None => intake.trail(&id).await?,
    };
    let trail = ListTrailResponse { items, next_page_token: String::new() };
    let document = || Ok(json!({"watch": json::of(&watch)?, "items": json::of(&trail)?["items"]}));
    desk.out.print(document, |look| match newest {
        Some(_) => format!("{}\nNewest first\n{}", standing(&watch, look), lines(&trail.items, look)),
        None => text(&watch, &trail.items, look),
    })
}

fn table(list: &ListWatchesResponse, look: &Look) -> String {
    let mut rows = Rows::new(look, &["watch, case", "root", "state", "where the money is"]);
    for listed in &list.watches {
        let Some(watch) = &listed.watch else { continue };
        let case = listed.case.as_ref().map(|case| safe(&case.number)).unwrap_or_default();
        let totals: Vec<String> = watch.totals.iter().map(|total| parts(total, look)).collect();
        rows.row([
            plain(format!("{}\n{case}", safe(&watch.watch_id))),
            plain(watch.root.as_ref().map(|root| safe(&root.account)).unwrap_or_default()),
            plain(state(watch).replace(", ", "\n")),
            plain(totals.join("\n")),
        ]);
    }
    let more = match list.next_page_token.as_str() {
        "" => "",
        _ => "Older watches are left out; --limit 0 shows all.\n",
    };
    format!("{}{more}", rows.print())
}

/// Where the money of one asset is.
fn parts(total: &TracedTotals, look: &Look) -> String {
    let amount = |amount: &str| look.amount_alone(&total.asset, amount);
    format!(
        "{}: arrived {}, in flight {}, ended {}",
        look.asset(&total.asset).lines().next().unwrap_or_default(),
        amount(&total.arrived),
        amount(&total.in_flight),
        amount(&total.ended)
    )
}

fn text(watch: &Watch, items: &[TrailItem], look: &Look) -> String {
    let found = counted(items.len(), "finding");
    format!("{}\nTrail ({found})\n{}", standing(watch, look), Trail::of(items).print(look))
}

/// Findings one by one, as they come.
fn lines(items: &[TrailItem], look: &Look) -> String {
    items.iter().map(|item| format!("{}\n", trail::line(item, look))).collect()
}

/// Where a watch stands, and how much is where.
fn standing(watch: &Watch, look: &Look) -> String {
    let root = watch.root.as_ref();
    let facts = facts(&[
        ("watch", safe(&watch.watch_id)),
        ("request", safe(&watch.request_id)),
        ("root", root.map(|root| safe(&root.account)).unwrap_or_default()),
        ("state", state(watch)),
        ("taint rule", words(watch.taint_rule, TaintRule::as_str_name, "TAINT_RULE_")),
        ("watched since", since(watch)),
        ("addresses", watch.addresses.to_string()),
        ("questions", watch.questions.to_string()),
    ]);
    let mut totals = Rows::new(look, &["asset", "stolen", "arrived", "in flight", "ended"]);
    for total in &watch.totals {
        let amount = |amount: &str| plain(look.amount_alone(&total.asset, amount));
        totals.row([
            plain(look.asset(&total.asset)),
            amount(&total.stolen),
            amount(&total.arrived),
            amount(&total.in_flight),
            amount(&total.ended),
        ]);
    }
    format!("{facts}\n{}", totals.print())
}

fn since(watch: &Watch) -> String {
    match watch.state() {
        WatchState::Pending => "not yet: it was approved a moment ago".to_owned(),
        WatchState::CatchingUp => progress(watch.catching_up.as_ref().unwrap_or(&CatchingUp::default())),
        _ => format!("the block after {}", watch.active_after_block),
    }
}

fn progress(way: &CatchingUp) -> String {
    let left = way.head_block.saturating_sub(way.read_block);
    match way.begun {
        true => format!("catching up: block {} of {}, {left} to go", way.read_block, way.head_block),
        false => "catching up: the place to begin is being looked for".to_owned(),
    }
}

fn state(watch: &Watch) -> String {
    let state = words(watch.state, WatchState::as_str_name, "WATCH_STATE_");
    format!("{state}, until {}", time(watch.until.as_ref()))
}

/// A watch in one line, for streams.
pub(super) fn line(watch: &Watch, look: &Look) -> String {
    let totals = watch.totals.iter().map(|total| format!("; {}", parts(total, look)));
    format!("watch {} {}{}", safe(&watch.watch_id), state(watch), totals.collect::<String>())
}

#[cfg(test)]
mod tests {
    use haetae_wire::{exchange::v1::Case, intake::v1::ListedWatch};

    use super::*;

    #[test]
    fn a_list_says_of_each_watch_which_case_it_is_of_and_where_the_money_is() {
        let totals =
            TracedTotals { asset: "eip155:1/slip44:60".into(), arrived: "60".into(), ..TracedTotals::default() };
        let watch = Watch { watch_id: "6f0c".into(), totals: vec![totals], ..Watch::default() };
        let case = Case { number: "2026-cyber-00412".into(), ..Case::default() };
        let watches = vec![ListedWatch { watch: Some(watch), case: Some(case) }];
        let text = table(&ListWatchesResponse { watches, next_page_token: "more".into() }, &Look::default());
        assert!(text.contains("6f0c") && text.contains("2026-cyber-00412") && text.contains("arrived 60"), "{text}");
        assert!(text.ends_with("--limit 0 shows all.\n"), "{text}");
    }

    #[test]
    fn a_watch_shows_where_it_stands_and_where_the_money_is() {
        let totals = TracedTotals {
            asset: "eip155:1/slip44:60".into(),
            stolen: "100".into(),
            arrived: "60".into(),
            in_flight: "30".into(),
            ended: "10".into(),
        };
        let watch = Watch {
            watch_id: "6f0c".into(),
            state: WatchState::Active.into(),
            active_after_block: 41,
            totals: vec![totals],
            ..Watch::default()
        };
        let text = text(&watch, &[], &Look::default());
        assert!(text.starts_with("watch          6f0c\nstate          active, until –\n"), "{text}");
        let row: Vec<_> = text.lines().find(|line| line.contains("slip44")).unwrap().split_whitespace().collect();
        assert_eq!(row, ["eip155:1/slip44:60", "100", "60", "30", "10"]);
        assert!(text.ends_with("Trail (0 findings)\nNo money has moved yet.\n"), "{text}");
    }

    #[test]
    fn a_watch_that_catches_up_shows_how_far_it_has_to_go() {
        let watch = |catching_up| Watch { state: WatchState::CatchingUp.into(), catching_up, ..Watch::default() };
        let way = CatchingUp { begun: true, read_block: 700, head_block: 1_800 };
        assert_eq!(since(&watch(Some(way))), "catching up: block 700 of 1800, 1100 to go");
        assert_eq!(since(&watch(None)), "catching up: the place to begin is being looked for");
        assert!(state(&watch(None)).starts_with("catching up, until"));
    }
}
