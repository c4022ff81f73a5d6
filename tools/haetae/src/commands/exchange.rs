//! `haetae exchange`.

use haetae_wire::intake::v1::{Exchange, ListExchangesResponse};

use super::Desk;
use crate::{
    args::ExchangeCommand,
    failure::Failure,
    json,
    show::{Look, Tone, duration, safe, time},
    table::{Rows, plain},
};

pub(super) async fn run(desk: &Desk, command: ExchangeCommand) -> Result<(), Failure> {
    let ExchangeCommand::List = command;
    let exchanges = desk.intake()?.exchanges().await?;
    let list = ListExchangesResponse { exchanges };
    desk.out.print(|| json::of(&list), |look| table(&list.exchanges, look))
}

fn table(exchanges: &[Exchange], look: &Look) -> String {
    let mut rows = Rows::new(look, &["exchange", "name", "reachable", "last answer", "confirms within"]);
    for exchange in exchanges {
        let reachable = match (exchange.reachable, exchange.last_answer) {
            (true, Some(_)) => (Tone::Good, "yes".to_owned()),
            (true, None) => plain("not asked yet".to_owned()),
            (false, _) => (Tone::Bad, "no".to_owned()),
        };
        rows.row([
            plain(safe(&exchange.exchange)),
            plain(safe(&exchange.display_name)),
            reachable,
            plain(time(exchange.last_answer.as_ref())),
            plain(duration(exchange.confirm_within.as_ref())),
        ]);
    }
    rows.print()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(exchange: Exchange) -> String {
        let text = table(&[exchange], &Look::default());
        text.lines().nth(3).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_exchange_that_never_answered_has_no_last_answer_and_one_never_asked_is_not_called_unreachable() {
        let silent = Exchange {
            exchange: "upbit".into(),
            display_name: "Upbit".into(),
            confirm_within: Some(prost_types::Duration { seconds: 2, nanos: 500_000_000 }),
            ..Exchange::default()
        };
        assert_eq!(row(silent.clone()), "upbit Upbit no – 2s 500ms");
        assert_eq!(row(Exchange { reachable: true, ..silent }), "upbit Upbit not asked yet – 2s 500ms");
    }
}
