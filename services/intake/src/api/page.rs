//! Pages (AIP-158) and cursors. Their texts are opaque to callers and bound to the unit they were given to.

use haetae_core::{Moment, Reason, RequestId, Violations};
use sha2::{Digest, Sha256};

use crate::db::{After, Unit};

/// How many items a page has: what is asked for, cut to the most there are.
pub(super) fn size(v: &mut Violations, asked: i32, usual: u32, most: u32) -> Option<u32> {
    match u32::try_from(asked) {
        Ok(0) => Some(usual),
        Ok(asked) => Some(asked.min(most)),
        Err(_) => {
            v.add("page_size", Reason::FieldMalformed, "must not be negative");
            None
        }
    }
}

/// The token of the page after a request.
pub(super) fn token(unit: &Unit, last: After) -> String {
    let micros = last.submitted_at.unix_timestamp_nanos() / 1_000;
    format!("{micros}.{}.{}", last.id, mark(unit, "page"))
}

/// Where the page of a token begins.
pub(super) fn after(unit: &Unit, token: &str) -> Result<Option<After>, Reason> {
    if token.is_empty() {
        return Ok(None);
    }
    let read = || {
        let (micros, rest) = token.split_once('.')?;
        let (id, found) = rest.split_once('.')?;
        let nanos = micros.parse::<i128>().ok()?.checked_mul(1_000)?;
        let submitted_at = Moment::from_unix_timestamp_nanos(nanos).ok()?;
        let id = id.parse::<RequestId>().ok()?;
        (found == mark(unit, "page")).then_some(After { submitted_at, id })
    };
    read().map(Some).ok_or(Reason::PageTokenInvalid)
}

/// The cursor after an update.
pub(super) fn cursor(unit: &Unit, number: i64) -> String {
    format!("{number}.{}", mark(unit, "update"))
}

/// The number of the last update handled; 0 before the first.
pub(super) fn handled(unit: &Unit, cursor: &str) -> Result<i64, Reason> {
    if cursor.is_empty() {
        return Ok(0);
    }
    let read = || {
        let (number, found) = cursor.split_once('.')?;
        let number = number.parse::<i64>().ok().filter(|number| *number > 0)?;
        (found == mark(unit, "update")).then_some(number)
    };
    read().ok_or(Reason::PageTokenInvalid)
}

/// Tells the texts of one unit and use from all others. It guards against mistakes, not against forgery: what a text
/// leads to is within the unit in any case.
fn mark(unit: &Unit, of: &str) -> String {
    let digest = Sha256::digest(format!("{of} {} {}", unit.agency, unit.unit));
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unit(name: &str) -> Unit {
        Unit { agency: "knp".parse().unwrap(), unit: name.parse().unwrap() }
    }

    #[test]
    fn a_cursor_of_another_unit_is_refused() {
        let given = cursor(&unit("cyber-1"), 7);
        assert_eq!(handled(&unit("cyber-1"), &given), Ok(7));
        assert_eq!(handled(&unit("cyber-2"), &given), Err(Reason::PageTokenInvalid));
        assert_eq!(handled(&unit("cyber-1"), ""), Ok(0));
    }

    #[test]
    fn no_page_has_more_than_the_most() {
        let mut v = Violations::new();
        assert_eq!(size(&mut v, 0, 50, 200), Some(50));
        assert_eq!(size(&mut v, 1_000, 50, 200), Some(200));
        assert_eq!(size(&mut v, -1, 50, 200), None);
    }

    proptest! {
        #[test]
        fn a_page_goes_on_where_it_was_told_to(seconds in 0i64..4_000_000_000, micros in 0i64..1_000_000, id: u128) {
            let submitted_at =
                Moment::from_unix_timestamp(seconds).unwrap() + time::Duration::microseconds(micros);
            let last = After { submitted_at, id: RequestId(uuid::Uuid::from_u128(id)) };
            let unit = unit("cyber-1");
            prop_assert_eq!(after(&unit, &token(&unit, last)), Ok(Some(last)));
        }

        #[test]
        fn no_text_makes_reading_panic(text: String) {
            let unit = unit("cyber-1");
            let _ = after(&unit, &text);
            let _ = handled(&unit, &text);
        }
    }
}
