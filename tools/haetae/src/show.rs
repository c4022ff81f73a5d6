//! How values look to people: amounts exactly, times in UTC, words instead of numbers, nothing that could steer the
//! terminal.

use comfy_table::Color;
use haetae_core::{Asset, Moment};
use owo_colors::{AnsiColors, OwoColorize};
use prost_types::Timestamp;
use serde::Deserialize;
use time::macros::format_description;

/// What stands where there is nothing.
pub(crate) const NOTHING: &str = "–";

/// How an asset is called and written by people. The profile says so; the chain's symbols are not to be trusted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssetName {
    /// CAIP-19.
    #[serde(deserialize_with = "crate::profile::parsed")]
    pub(crate) id: Asset,
    /// Such as `USDT`.
    pub(crate) symbol: String,
    /// How many of the integer's digits stand behind the point.
    pub(crate) decimals: u8,
}

/// How much something matters to the reader's eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Quiet,
    Good,
    Wait,
    Bad,
}

impl Tone {
    /// Its colour in a table; none for plain.
    pub(crate) const fn in_table(self) -> Option<Color> {
        match self {
            Self::Plain => None,
            Self::Quiet => Some(Color::DarkGrey),
            Self::Good => Some(Color::Green),
            Self::Wait => Some(Color::Yellow),
            Self::Bad => Some(Color::Red),
        }
    }
}

/// How things are shown to this reader.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    /// Whether colours are used.
    pub(crate) colour: bool,
    /// The assets that have a name.
    pub(crate) assets: Vec<AssetName>,
}

impl Look {
    /// A text in a tone.
    pub(crate) fn toned(&self, tone: Tone, text: &str) -> String {
        let colour = match tone {
            Tone::Plain => return text.to_owned(),
            _ if !self.colour => return text.to_owned(),
            Tone::Quiet => AnsiColors::BrightBlack,
            Tone::Good => AnsiColors::Green,
            Tone::Wait => AnsiColors::Yellow,
            Tone::Bad => AnsiColors::Red,
        };
        text.color(colour).to_string()
    }

    /// An amount of an asset: always the exact integer; where the asset has a name, in its own decimals too.
    pub(crate) fn amount(&self, asset: &str, amount: &str) -> String {
        let (asset, amount) = (safe(asset), safe(amount));
        if amount.is_empty() {
            return NOTHING.to_owned();
        }
        match self.named(&asset) {
            Some(name) => format!("{} {} ({amount})", decimal(&amount, name.decimals), name.symbol),
            None => format!("{amount} of {asset}"),
        }
    }

    /// An amount where the asset stands beside it.
    pub(crate) fn amount_alone(&self, asset: &str, amount: &str) -> String {
        let amount = safe(amount);
        match self.named(asset) {
            _ if amount.is_empty() => NOTHING.to_owned(),
            Some(name) => format!("{} ({amount})", decimal(&amount, name.decimals)),
            None => amount,
        }
    }

    /// An asset, by its name too where it has one.
    pub(crate) fn asset(&self, asset: &str) -> String {
        let asset = safe(asset);
        match self.named(&asset) {
            Some(name) => format!("{}\n{asset}", name.symbol),
            None => asset,
        }
    }

    fn named(&self, asset: &str) -> Option<&AssetName> {
        let asset: Asset = asset.parse().ok()?;
        self.assets.iter().find(|name| name.id == asset)
    }
}

/// An integer with a point before its last digits, by moving characters: nothing is rounded.
fn decimal(integer: &str, decimals: u8) -> String {
    if !integer.bytes().all(|b| b.is_ascii_digit()) {
        return integer.to_owned();
    }
    let decimals = usize::from(decimals);
    let digits = format!("{integer:0>width$}", width = decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

/// A text from elsewhere without anything that a terminal would obey or that would turn its direction.
pub(crate) fn safe(text: &str) -> String {
    let steers = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// A text from elsewhere, or the sign that there is none.
pub(crate) fn or_nothing(text: &str) -> String {
    if text.is_empty() { NOTHING.to_owned() } else { safe(text) }
}

/// The choice of an enum in lower-case words, without the enum's own name before it.
pub(crate) fn words<E: TryFrom<i32>>(number: i32, name: fn(&E) -> &'static str, prefix: &str) -> String {
    word(number, name, prefix).to_lowercase().replace('_', " ")
}

/// The choice of an enum as the contract spells it, without the enum's own name before it.
pub(crate) fn word<E: TryFrom<i32>>(number: i32, name: fn(&E) -> &'static str, prefix: &str) -> String {
    if number == 0 {
        return NOTHING.to_owned();
    }
    match E::try_from(number) {
        Ok(choice) => {
            let name = name(&choice);
            name.strip_prefix(prefix).unwrap_or(name).to_owned()
        }
        Err(_) => format!("{number} (newer than this program)"),
    }
}

/// A moment in UTC, to the second.
pub(crate) fn time(time: Option<&Timestamp>) -> String {
    let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
    time.and_then(moment).and_then(|moment| moment.format(form).ok()).unwrap_or_else(|| NOTHING.to_owned())
}

/// The time between two moments, to the millisecond, such as `312ms` or `4s 20ms`.
pub(crate) fn between(from: Option<&Timestamp>, to: Option<&Timestamp>) -> Option<String> {
    let time: std::time::Duration = (moment(to?)? - moment(from?)?).try_into().ok()?;
    let whole = std::time::Duration::from_millis(u64::try_from(time.as_millis()).ok()?);
    Some(humantime::format_duration(whole).to_string())
}

/// The time from one moment to another in its two largest units, such as `3h 2m`; none where they are not known.
pub(crate) fn elapsed(from: Option<&Timestamp>, to: Option<&Timestamp>) -> Option<String> {
    // Clocks of two machines differ a little.
    let seconds = (moment(to?)? - moment(from?)?).whole_seconds().max(0).unsigned_abs();
    let whole = humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string();
    Some(whole.split(' ').take(2).collect::<Vec<_>>().join(" "))
}

/// A length of time.
pub(crate) fn duration(duration: Option<&prost_types::Duration>) -> String {
    duration
        .and_then(|duration| std::time::Duration::try_from(*duration).ok())
        .map_or_else(|| NOTHING.to_owned(), |duration| humantime::format_duration(duration).to_string())
}

fn moment(time: &Timestamp) -> Option<Moment> {
    let whole = Moment::from_unix_timestamp(time.seconds).ok()?;
    whole.checked_add(time::Duration::nanoseconds(time.nanos.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use haetae_wire::intake::v1::RequestState;

    const USDT: &str = "eip155:1/erc20:0xdAC17F958D2ee523a2206206994597C13D831ec7";

    fn look() -> Look {
        let name = AssetName { id: USDT.parse().unwrap(), symbol: "USDT".into(), decimals: 6 };
        Look { colour: false, assets: vec![name] }
    }

    #[test]
    fn a_known_asset_is_written_in_its_decimals_and_exactly() {
        for (amount, shown) in [
            ("0", "0 USDT (0)"),
            ("1", "0.000001 USDT (1)"),
            ("1500000", "1.5 USDT (1500000)"),
            ("250000000000", "250000 USDT (250000000000)"),
        ] {
            assert_eq!(look().amount(USDT, amount), shown);
            assert_eq!(look().amount(&USDT.to_lowercase(), amount), shown);
        }
    }

    #[test]
    fn the_largest_amount_loses_no_digit() {
        let max = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
        let shown = "115792089237316195423570985008687907853269984665640564039457.584007913129639935";
        assert_eq!(decimal(max, 18), shown);
    }

    #[test]
    fn an_unknown_asset_keeps_its_integer_and_its_full_name() {
        assert_eq!(look().amount("eip155:1/slip44:60", "1000"), "1000 of eip155:1/slip44:60");
        assert_eq!(look().amount(USDT, ""), NOTHING);
    }

    #[test]
    fn choices_are_words_and_a_newer_choice_is_said_to_be_one() {
        let state = |number| words(number, RequestState::as_str_name, "REQUEST_STATE_");
        assert_eq!(state(1), "awaiting approval");
        assert_eq!(state(0), NOTHING);
        assert_eq!(state(99), "99 (newer than this program)");
    }

    #[test]
    fn text_from_elsewhere_cannot_steer_the_terminal() {
        assert_eq!(safe("\u{1b}[2Jgone\n\u{202e}desrever"), "\u{fffd}[2Jgone\u{fffd}\u{fffd}desrever");
    }

    #[test]
    fn colours_are_used_only_where_asked_for() {
        assert_eq!(look().toned(Tone::Bad, "no"), "no");
        let colourful = Look { colour: true, ..look() };
        assert_eq!(colourful.toned(Tone::Bad, "no"), "\u{1b}[31mno\u{1b}[39m");
    }

    #[test]
    fn times_are_utc_and_intervals_exact_to_the_millisecond() {
        let at = |seconds, nanos| Timestamp { seconds, nanos };
        assert_eq!(time(Some(&at(1_790_000_000, 999_999_000))), "2026-09-21 14:13:20Z");
        assert_eq!(time(None), NOTHING);
        let (from, to) = (at(10, 900_000_000), at(11, 212_000_000));
        assert_eq!(between(Some(&from), Some(&to)).as_deref(), Some("312ms"));
        assert_eq!(between(Some(&to), Some(&from)), None);
    }
}
