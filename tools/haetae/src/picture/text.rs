//! Texts in pictures: escaped, shortened, measured, and amounts as people read them.

use haetae_core::{Asset, ChainKind};

use crate::show::{NOTHING, safe};

/// A text from elsewhere as XML or HTML may hold it, between tags and in quoted attributes.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in safe(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // What XML cannot hold at all.
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// An account's address without its chain, its middle left out.
pub(super) fn short_account(account: &str) -> String {
    shortened(account.rsplit_once(':').map_or(account, |(_, address)| address))
}

/// The middle of a long word left out.
pub(super) fn shortened(word: &str) -> String {
    without_middle(word, 8, 6)
}

fn without_middle(word: &str, begin: usize, end: usize) -> String {
    let chars: Vec<char> = word.chars().collect();
    if chars.len() <= begin + end + 1 {
        return word.to_owned();
    }
    let (head, tail) = (&chars[..begin], &chars[chars.len() - end..]);
    head.iter().chain(&['…']).chain(tail).collect()
}

/// How wide a text is at a size, roughly and rather too much: nobody knows which font will be there.
pub(super) fn width(text: &str, size: f64) -> f64 {
    let em = |c: char| match c {
        'i' | 'l' | 'j' | '.' | ',' | ':' | ';' | '\'' | '|' | ' ' | '·' => 0.32,
        'm' | 'w' | 'M' | 'W' | '…' | '→' | '←' | '≈' => 0.95,
        'A'..='Z' => 0.72,
        c if (c as u32) < 0x1100 => 0.58,
        _ => 1.05,
    };
    text.chars().map(em).sum::<f64>() * size
}

/// A text cut so that it fits.
pub(super) fn fit(text: &str, size: f64, room: f64) -> String {
    let text = safe(text);
    if width(&text, size) <= room {
        return text;
    }
    let mut cut = String::new();
    let mut used = width("…", size);
    for c in text.chars() {
        used += width(c.encode_utf8(&mut [0; 4]), size);
        if used > room {
            break;
        }
        cut.push(c);
    }
    cut.push('…');
    cut
}

/// How an asset is called and how many of its digits stand behind the point, where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) name: String,
    pub(super) decimals: Option<u8>,
}

impl Unit {
    /// Of an asset that the profile does not name: coins are known by their chain, tokens say nothing of themselves that
    /// can be trusted.
    pub(super) fn of(asset: &str) -> Self {
        let parsed: Option<Asset> = asset.parse().ok();
        let Some(asset) = parsed.filter(|asset| asset.contract().is_none()) else {
            return Self {
                name: without_middle(&safe(asset.rsplit_once(':').map_or(asset, |(_, name)| name)), 6, 4),
                decimals: None,
            };
        };
        let (name, decimals) = match asset.chain().kind() {
            Some(ChainKind::Evm(1)) => ("ETH", 18),
            Some(ChainKind::Evm(56)) => ("BNB", 18),
            Some(ChainKind::Evm(137)) => ("POL", 18),
            Some(ChainKind::Evm(_)) => ("coins", 18),
            Some(ChainKind::Tron) => ("TRX", 6),
            // SLIP-44 has one number for the main network, and one for all others.
            Some(ChainKind::Bitcoin(_)) if asset.to_string().ends_with(":0") => ("BTC", 8),
            Some(ChainKind::Bitcoin(_)) => ("test BTC", 8),
            None => return Self { name: asset.to_string(), decimals: None },
        };
        Self { name: name.to_owned(), decimals: Some(decimals) }
    }

    /// An amount for the eye: no more than eight digits behind the point, and said to be so where there are more.
    pub(super) fn brief(&self, amount: &str) -> String {
        const DIGITS: usize = 8;
        if amount.is_empty() {
            return NOTHING.to_owned();
        }
        let (whole, fraction) = self.split(amount);
        let trimmed = fraction.trim_end_matches('0');
        let shown = trimmed.get(..DIGITS).unwrap_or(trimmed);
        let about = if shown.len() < trimmed.len() { "≈" } else { "" };
        match shown.trim_end_matches('0') {
            "" => format!("{about}{whole} {}", self.name),
            shown => format!("{about}{whole}.{shown} {}", self.name),
        }
    }

    /// An amount to its last digit.
    pub(super) fn exact(&self, amount: &str) -> String {
        if amount.is_empty() {
            return NOTHING.to_owned();
        }
        let (whole, fraction) = self.split(amount);
        match fraction.trim_end_matches('0') {
            "" => format!("{whole} {}", self.name),
            fraction => format!("{whole}.{fraction} {}", self.name),
        }
    }

    fn split(&self, amount: &str) -> (String, String) {
        if !amount.bytes().all(|b| b.is_ascii_digit()) {
            return (safe(amount), String::new());
        }
        let decimals = usize::from(self.decimals.unwrap_or(0));
        let digits = format!("{amount:0>width$}", width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        (thousands(whole), fraction.to_owned())
    }
}

/// Digits in groups of three.
fn thousands(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_in_units_where_those_are_known_and_in_the_smallest_unit_where_not() {
        let ether = Unit::of("eip155:1/slip44:60");
        assert_eq!(ether.brief("1500000000000000000"), "1.5 ETH");
        assert_eq!(ether.brief("1234500000000000000000000"), "1,234,500 ETH");
        assert_eq!(ether.brief("299937000000000001"), "≈0.299937 ETH");
        assert_eq!(ether.exact("299937000000000001"), "0.299937000000000001 ETH");
        assert_eq!(ether.brief("1"), "≈0 ETH");
        let token = Unit::of("eip155:1/erc20:0xdAC17F958D2ee523a2206206994597C13D831ec7");
        assert_eq!(token.brief("600000000000"), "600,000,000,000 0xdAC1…1ec7");
        assert_eq!(Unit::of("bip122:000000000019d6689c085ae165831e93/slip44:0").brief("12345"), "0.00012345 BTC");
        assert_eq!(Unit::of("no asset").brief("no number"), "no number no asset");
    }

    #[test]
    fn nothing_from_elsewhere_ends_a_tag_or_an_attribute() {
        assert_eq!(
            escaped("<a href='x' b=\"y\">&\u{0}\u{202e}"),
            "&lt;a href=&#39;x&#39; b=&quot;y&quot;&gt;&amp;\u{fffd}\u{fffd}"
        );
    }

    #[test]
    fn long_words_lose_their_middle_and_long_texts_their_end() {
        assert_eq!(short_account("eip155:1:0x52908400098527886E0F7030069857D2E4169EE7"), "0x529084…169EE7");
        assert_eq!(shortened("short"), "short");
        assert_eq!(fit("a long text that does not fit", 10.0, 60.0).chars().last(), Some('…'));
        assert!(width(&fit("한국어로 된 긴 사건 번호입니다", 10.0, 60.0), 10.0) <= 60.0);
    }
}
