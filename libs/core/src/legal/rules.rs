//! Reading the rules from their file.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use time::Duration;

use super::{Caps, LegalBasis, LegalRules, Limits, RequestKind};
use crate::{AgencyId, Amount, Asset, ChainId, ExchangeId};

/// More than this many further approvals is a mistyped number: there is no such unit.
const MOST_APPROVALS: u32 = 9;

/// One `[basis.NAME]` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    citation: String,
    document_required: bool,
    exchanges: Option<BTreeSet<ExchangeId>>,
    approve_within_hours: u32,
    question_hours: Option<u32>,
    max_watch_days: Option<u32>,
    max_look_back_hours: Option<u32>,
    max_freeze_days: Option<u32>,
    #[serde(default)]
    limits: Option<WrittenLimits>,
    #[serde(default)]
    caps: BTreeMap<String, String>,
    agencies: BTreeMap<AgencyId, BTreeMap<String, u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenLimits {
    max_hops: u32,
    max_addresses: u32,
    max_questions: u32,
    max_degree: u32,
    max_legs_per_hour: u32,
    max_holders: u32,
    max_watches_of_case: Option<u32>,
    max_watches_of_agency: Option<u32>,
}

impl LegalRules {
    /// Reads rules: a TOML file with a table `[basis.NAME]` for each legal basis.
    ///
    /// # Errors
    /// Every fault, each with the basis and the key it is in; a key that nobody reads is one.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let mut file: toml::Table = text.parse().map_err(|error| vec![format!("not TOML: {error}")])?;
        let mut faults = Vec::new();
        let bases = match file.remove("basis") {
            Some(toml::Value::Table(bases)) if !bases.is_empty() => bases,
            _ => {
                faults.push("basis: there must be at least one table [basis.NAME]".to_owned());
                toml::Table::new()
            }
        };
        faults.extend(file.keys().map(|key| format!("{key}: nobody reads this key")));
        let mut rules = BTreeMap::new();
        for (name, written) in bases {
            let mut found = Faults { at: format!("basis.{name}"), found: &mut faults };
            match written.try_into::<Written>() {
                Ok(written) => {
                    let basis = found.basis(&name, written);
                    rules.insert(name, basis);
                }
                Err(error) => found.add("", error.to_string().trim_end()),
            }
        }
        if faults.is_empty() { Ok(Self(rules)) } else { Err(faults) }
    }
}

struct Faults<'a> {
    at: String,
    found: &'a mut Vec<String>,
}

impl Faults<'_> {
    fn add(&mut self, key: &str, what: impl std::fmt::Display) {
        let dot = if key.is_empty() { "" } else { "." };
        self.found.push(format!("{}{dot}{key}: {what}", self.at));
    }

    fn basis(&mut self, name: &str, written: Written) -> LegalBasis {
        if written.citation.trim().is_empty() {
            self.add("citation", "is empty; an order must print the provision it rests on");
        }
        if written.approve_within_hours == 0 {
            self.add("approve_within_hours", "must be at least 1");
        }
        for (key, time) in [
            ("question_hours", written.question_hours),
            ("max_watch_days", written.max_watch_days),
            ("max_look_back_hours", written.max_look_back_hours),
            ("max_freeze_days", written.max_freeze_days),
        ] {
            if time == Some(0) {
                self.add(key, "must be at least 1; leave it out where none is allowed");
            }
        }
        let agencies = self.agencies(&written.agencies);
        let allows = |kind| agencies.values().any(|kinds| kinds.contains_key(&kind));
        let (watches, stands, freezes) =
            (allows(RequestKind::Watch), allows(RequestKind::StandingFreeze), allows(RequestKind::Freeze));
        if allows(RequestKind::ConfirmAddress) && written.question_hours.is_none() {
            self.add("question_hours", "is missing, but questions are allowed");
        }
        if watches && written.max_watch_days.is_none() {
            self.add("max_watch_days", "is missing, but watches are allowed");
        }
        if (stands || freezes) && written.max_freeze_days.is_none() {
            self.add("max_freeze_days", "is missing, but freezes are allowed");
        }
        if (stands || freezes) && written.caps.is_empty() {
            self.add("caps", "is missing, but freezes are allowed; an asset without a cap is never frozen");
        }
        if (watches || stands) && written.limits.is_none() {
            self.add("limits", "is missing, but watches are allowed");
        }
        let limits = written.limits.map_or_else(Limits::default, |limits| self.limits(&limits));
        LegalBasis {
            name: name.to_owned(),
            citation: written.citation,
            document_required: written.document_required,
            exchanges: written.exchanges,
            approve_within: Duration::hours(written.approve_within_hours.into()),
            question_period: Duration::hours(written.question_hours.unwrap_or_default().into()),
            watch_period: written.max_watch_days.map(|days| Duration::days(days.into())),
            look_back: written.max_look_back_hours.map(|hours| Duration::hours(hours.into())),
            freeze_period: written.max_freeze_days.map(|days| Duration::days(days.into())),
            limits,
            caps: self.caps(written.caps),
            agencies,
        }
    }

    fn agencies(
        &mut self,
        written: &BTreeMap<AgencyId, BTreeMap<String, u32>>,
    ) -> BTreeMap<AgencyId, BTreeMap<RequestKind, u32>> {
        if written.is_empty() {
            self.add("agencies", "names no agency, so that nobody may use the basis");
        }
        let mut agencies = BTreeMap::new();
        for (agency, written) in written {
            let mut kinds = BTreeMap::new();
            for (name, approvals) in written {
                let key = format!("agencies.{agency}.{name}");
                match name.parse::<RequestKind>() {
                    Err(what) => self.add(&key, what),
                    Ok(kind) if *approvals == 0 && !kind.may_go_unapproved() => {
                        self.add(&key, "needs at least 1 further approval, whatever the law allows");
                    }
                    Ok(_) if *approvals > MOST_APPROVALS => {
                        self.add(&key, format_args!("is more than {MOST_APPROVALS} approvals"));
                    }
                    Ok(kind) => drop(kinds.insert(kind, *approvals)),
                }
            }
            agencies.insert(agency.clone(), kinds);
        }
        agencies
    }

    fn limits(&mut self, written: &WrittenLimits) -> Limits {
        let limits = Limits {
            max_hops: written.max_hops,
            max_addresses: written.max_addresses,
            max_questions: written.max_questions,
            max_degree: written.max_degree,
            max_legs_per_hour: written.max_legs_per_hour,
            max_holders: written.max_holders,
            max_watches_of_case: written.max_watches_of_case,
            max_watches_of_agency: written.max_watches_of_agency,
        };
        // A watch that may not do the first step is not one. Legs and holders may be 0 where nothing is frozen.
        for (key, value) in [
            ("max_hops", limits.max_hops),
            ("max_addresses", limits.max_addresses),
            ("max_questions", limits.max_questions),
            ("max_degree", limits.max_degree),
            ("max_watches_of_case", limits.max_watches_of_case.unwrap_or(1)),
            ("max_watches_of_agency", limits.max_watches_of_agency.unwrap_or(1)),
        ] {
            if value == 0 {
                self.add(&format!("limits.{key}"), "must be at least 1");
            }
        }
        limits
    }

    fn caps(&mut self, written: BTreeMap<String, String>) -> Caps {
        let mut caps = Caps::default();
        for (what, amount) in written {
            let key = format!("caps.\"{what}\"");
            let amount = match amount.parse::<Amount>() {
                Ok(amount) if !amount.is_zero() => amount,
                Ok(_) => {
                    self.add(&key, "is zero; leave it out where nothing may be frozen");
                    continue;
                }
                Err(error) => {
                    self.add(&key, error);
                    continue;
                }
            };
            if what == "*" {
                caps.any = Some(amount);
            } else if let Ok(asset) = what.parse::<Asset>() {
                if caps.assets.insert(asset, amount).is_some() {
                    self.add(&key, "names an asset that another spelling names too");
                }
            } else if let Ok(chain) = what.parse::<ChainId>() {
                caps.chains.insert(chain, amount);
            } else {
                self.add(&key, "is neither an asset (CAIP-19) nor a chain (CAIP-2) nor *");
            }
        }
        caps
    }
}
