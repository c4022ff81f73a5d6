//! Reading a message from the wire: every fault is noted, with the path of its field, before anything is refused.
//!
//! Each function takes the [`Violations`] found so far, the field's name and its value, and answers with what was read,
//! or `None` after noting why not. So a reader first reads *all* fields and only then puts them together:
//!
//! ```
//! use haetae_core::{AgencyId, CaseRef, UnitId, Violations};
//! use haetae_wire::{exchange::v1, read::{self, Read}};
//!
//! fn case(wire: &v1::Case, v: &mut Violations) -> Option<CaseRef> {
//!     let agency = read::parse::<AgencyId>(v, "agency", &wire.agency);
//!     let unit = read::parse::<UnitId>(v, "unit", &wire.unit);
//!     let number = read::text(v, "number", &wire.number, 1..=100);
//!     Some(CaseRef { agency: agency?, unit: unit?, number: number? })
//! }
//!
//! let mut violations = Violations::new();
//! let read = case(&v1::Case { agency: "KNP".into(), ..Default::default() }, &mut violations);
//! let faults = violations.finish(read).unwrap_err();
//! assert_eq!(faults.iter().map(|fault| fault.field.as_str()).collect::<Vec<_>>(), ["agency", "unit", "number"]);
//! ```
//!
//! A field that may be absent has a function whose name ends in `_optional`; it answers `Some(None)` where it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    ops::RangeInclusive,
    str::FromStr,
    time::Duration,
};

use haetae_core::{
    Amount, Asset, ChainId, Collect, Moment, Reason, TransferId, Violation, Violations, WatchStart, micros,
};

use crate::{exchange::v1::AssetAmount, intake::v1::watch::Start};

/// A wire type that can be read into a domain type.
pub trait Read<T> {
    /// The value; or none, with every fault noted.
    fn read(&self, v: &mut Violations) -> Option<T>;
}

/// A domain enum with a counterpart on the wire. A number without meaning and `_UNSPECIFIED` are no choices.
pub trait Choice: Sized {
    /// The generated enum.
    type Wire: TryFrom<i32> + Default + PartialEq;

    /// The value it stands for; none for `_UNSPECIFIED`.
    fn from_wire(wire: Self::Wire) -> Option<Self>;
}

/// Reads a whole message.
///
/// # Errors
/// All faults, in the order of the fields.
pub fn message<W: Read<T>, T>(wire: &W) -> Result<T, Vec<Violation>> {
    let mut violations = Violations::new();
    let value = wire.read(&mut violations);
    violations.finish(value)
}

/// A message that must be there.
pub fn required<W: Read<T>, T>(v: &mut Violations, field: &str, wire: Option<&W>) -> Option<T> {
    present(v, field, wire).and_then(|wire| v.within(field, |v| wire.read(v)))
}

/// A message that may be absent.
pub fn optional<W: Read<T>, T>(v: &mut Violations, field: &str, wire: Option<&W>) -> Option<Option<T>> {
    match wire {
        None => Some(None),
        Some(wire) => v.within(field, |v| wire.read(v)).map(Some),
    }
}

/// Notes that a field is missing where it is `None`.
pub fn present<T>(v: &mut Violations, field: &str, value: Option<T>) -> Option<T> {
    if value.is_none() {
        missing(v, field);
    }
    value
}

/// Notes that a field is missing.
pub fn missing(v: &mut Violations, field: &str) {
    v.add(field, Reason::FieldMissing, "is required");
}

/// Notes that a field must be empty, unless it is.
pub fn empty(v: &mut Violations, field: &str, is_empty: bool, because: &str) {
    if !is_empty {
        v.add(field, Reason::FieldMalformed, format!("must be empty {because}"));
    }
}

/// A text that must be there and parse: ids, accounts, assets, amounts, chains.
pub fn parse<T>(v: &mut Violations, field: &str, text: &str) -> Option<T>
where
    T: FromStr,
    Result<T, T::Err>: Collect<T>,
{
    if text.is_empty() {
        missing(v, field);
        return None;
    }
    text.parse().collect(v, field)
}

/// A text that is empty or parses.
pub fn parse_optional<T>(v: &mut Violations, field: &str, text: &str) -> Option<Option<T>>
where
    T: FromStr,
    Result<T, T::Err>: Collect<T>,
{
    if text.is_empty() { Some(None) } else { text.parse().collect(v, field).map(Some) }
}

/// Texts that all parse; none twice. May be empty.
pub fn parse_set<T>(v: &mut Violations, field: &str, texts: &[String]) -> Option<BTreeSet<T>>
where
    T: FromStr + Ord,
    Result<T, T::Err>: Collect<T>,
{
    collect_set(v, field, texts, |v, path, text| parse(v, path, text))
}

/// Messages. May be empty.
pub fn list<W: Read<T>, T>(v: &mut Violations, field: &str, wires: &[W]) -> Option<Vec<T>> {
    let read = wires.iter().enumerate().map(|(i, wire)| v.within(format!("{field}[{i}]"), |v| wire.read(v)));
    // All are read before the first that failed decides.
    read.collect::<Vec<_>>().into_iter().collect()
}

/// Messages, none twice. May be empty.
pub fn set<W: Read<T>, T: Ord>(v: &mut Violations, field: &str, wires: &[W]) -> Option<BTreeSet<T>> {
    collect_set(v, field, wires, |v, path, wire| v.within(path, |v| wire.read(v)))
}

/// Notes that a list is missing where it is empty.
pub fn not_empty<T>(v: &mut Violations, field: &str, items: &[T]) {
    if items.is_empty() {
        missing(v, field);
    }
}

/// One choice of an enum.
pub fn choice<T: Choice>(v: &mut Violations, field: &str, number: i32) -> Option<T> {
    match known::<T>(v, field, number)? {
        Some(choice) => Some(choice),
        None => {
            missing(v, field);
            None
        }
    }
}

/// One choice of an enum, or `_UNSPECIFIED`.
pub fn choice_optional<T: Choice>(v: &mut Violations, field: &str, number: i32) -> Option<Option<T>> {
    known::<T>(v, field, number)
}

/// Choices of an enum, none twice. May be empty.
pub fn choices<T: Choice + Ord>(v: &mut Violations, field: &str, numbers: &[i32]) -> Option<BTreeSet<T>> {
    collect_set(v, field, numbers, |v, path, number| choice(v, path, *number))
}

fn known<T: Choice>(v: &mut Violations, field: &str, number: i32) -> Option<Option<T>> {
    match T::Wire::try_from(number) {
        Ok(wire) => Some(T::from_wire(wire)),
        Err(_) => {
            v.add(field, Reason::FieldMalformed, "is a value that the contract does not know");
            None
        }
    }
}

/// A moment that must be there, cut to whole microseconds.
pub fn moment(v: &mut Violations, field: &str, wire: Option<&prost_types::Timestamp>) -> Option<Moment> {
    let wire = present(v, field, wire)?;
    let moment = u32::try_from(wire.nanos)
        .ok()
        .and_then(|nanos| Moment::from_unix_timestamp(wire.seconds).ok()?.replace_nanosecond(nanos).ok())
        .filter(|moment| moment.year() >= 1);
    match moment {
        Some(moment) => Some(micros(moment)),
        None => {
            v.add(field, Reason::FieldMalformed, "must be a moment of the years 1 to 9999, with 0 to 999999999 nanos");
            None
        }
    }
}

/// A moment that may be absent, cut to whole microseconds.
pub fn moment_optional(
    v: &mut Violations,
    field: &str,
    wire: Option<&prost_types::Timestamp>,
) -> Option<Option<Moment>> {
    if wire.is_none() { Some(None) } else { moment(v, field, wire).map(Some) }
}

/// A duration that must be there and be longer than nothing.
pub fn duration(v: &mut Violations, field: &str, wire: Option<&prost_types::Duration>) -> Option<Duration> {
    let wire = present(v, field, wire)?;
    let seconds = u64::try_from(wire.seconds).ok();
    let nanos = u32::try_from(wire.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    match seconds.zip(nanos).map(|(seconds, nanos)| Duration::new(seconds, nanos)).filter(|d| !d.is_zero()) {
        Some(duration) => Some(duration),
        None => {
            v.add(field, Reason::FieldMalformed, "must be a duration longer than nothing");
            None
        }
    }
}

/// Where a watch begins, if not now. `chain` is that of its root, where that could be read.
pub fn watch_start(v: &mut Violations, wire: Option<&Start>, chain: Option<&ChainId>) -> Option<Option<WatchStart>> {
    match wire {
        None => Some(None),
        Some(Start::Since(since)) => moment(v, "since", Some(since)).map(|since| Some(WatchStart::Since(since))),
        Some(Start::Transaction(hash)) if hash.is_empty() => {
            missing(v, "transaction");
            None
        }
        Some(Start::Transaction(hash)) => {
            let kind = chain.and_then(ChainId::kind);
            let checked = kind.map_or(Ok(()), |kind| TransferId::check_transaction(kind, hash));
            checked.collect(v, "transaction").map(|()| Some(WatchStart::Transaction(hash.clone())))
        }
    }
}

/// A SHA-256 digest: 32 bytes.
pub fn sha256(v: &mut Violations, field: &str, bytes: &[u8]) -> Option<[u8; 32]> {
    if bytes.is_empty() {
        missing(v, field);
        return None;
    }
    let digest = bytes.try_into().ok();
    if digest.is_none() {
        v.add(field, Reason::FieldMalformed, "must be a SHA-256 digest: 32 bytes");
    }
    digest
}

/// Text of a length in characters, without control characters other than line breaks and tabs.
pub fn text(v: &mut Violations, field: &str, text: &str, chars: RangeInclusive<usize>) -> Option<String> {
    if text.is_empty() && *chars.start() > 0 {
        missing(v, field);
        return None;
    }
    if !chars.contains(&text.chars().count()) {
        let (min, max) = chars.into_inner();
        v.add(field, Reason::FieldMalformed, format!("must have {min} to {max} characters"));
        return None;
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        v.add(field, Reason::FieldMalformed, "must not hold control characters");
        return None;
    }
    Some(text.to_owned())
}

/// Text that is empty or at most so many characters long.
pub fn text_optional(v: &mut Violations, field: &str, value: &str, max: usize) -> Option<Option<String>> {
    if value.is_empty() { Some(None) } else { text(v, field, value, 1..=max).map(Some) }
}

/// A number that counts from 1.
pub fn counted(v: &mut Violations, field: &str, number: u32) -> Option<NonZeroU32> {
    present(v, field, NonZeroU32::new(number))
}

/// An amount of at least 1.
pub fn amount(v: &mut Violations, field: &str, text: &str) -> Option<Amount> {
    let amount = parse::<Amount>(v, field, text)?;
    if amount.is_zero() {
        v.add(field, Reason::AmountZero, "must be at least 1");
        return None;
    }
    Some(amount)
}

/// Amounts per asset: none twice, none zero. May be empty.
pub fn amounts(v: &mut Violations, field: &str, wires: &[AssetAmount]) -> Option<BTreeMap<Asset, Amount>> {
    let mut read = BTreeMap::new();
    let mut complete = true;
    for (i, wire) in wires.iter().enumerate() {
        complete &= v.within(format!("{field}[{i}]"), |v| {
            let asset = parse::<Asset>(v, "asset", &wire.asset);
            let amount = amount(v, "amount", &wire.amount);
            let (Some(asset), Some(amount)) = (asset, amount) else { return false };
            let fresh = read.insert(asset, amount).is_none();
            if !fresh {
                v.add("asset", Reason::FieldMalformed, "is named twice");
            }
            fresh
        });
    }
    complete.then_some(read)
}

fn collect_set<W, T: Ord>(
    v: &mut Violations,
    field: &str,
    wires: &[W],
    read: impl Fn(&mut Violations, &str, &W) -> Option<T>,
) -> Option<BTreeSet<T>> {
    let mut all = BTreeSet::new();
    let mut complete = true;
    for (i, wire) in wires.iter().enumerate() {
        let path = format!("{field}[{i}]");
        let Some(item) = read(v, &path, wire) else {
            complete = false;
            continue;
        };
        if !all.insert(item) {
            v.add(&path, Reason::FieldMalformed, "is named twice");
            complete = false;
        }
    }
    complete.then_some(all)
}
