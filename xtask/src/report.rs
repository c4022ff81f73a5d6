//! What was checked, what was found, and what could not be checked.

use std::fmt::Display;

use serde_json::{Value, json};

/// Kept by one run. Nothing is called checked that was not: what is missing is said in the last line.
#[derive(Default)]
pub(crate) struct Report {
    counts: Vec<(&'static str, usize)>,
    failures: Vec<String>,
    not_checked: Vec<String>,
}

impl Report {
    /// So many more of these were checked, whether or not they passed.
    pub(crate) fn count(&mut self, what: &'static str, number: usize) {
        match self.counts.iter_mut().find(|(known, _)| *known == what) {
            Some((_, counted)) => *counted += number,
            None => self.counts.push((what, number)),
        }
    }

    /// Something is wrong.
    pub(crate) fn fail(&mut self, what: impl Display) {
        self.failures.push(what.to_string());
    }

    /// All of these are wrong in the same place.
    pub(crate) fn fail_all<T: Display>(&mut self, place: impl Display, what: impl IntoIterator<Item = T>) {
        self.failures.extend(what.into_iter().map(|what| format!("{place}: {what}")));
    }

    /// This could not be checked here, and why.
    pub(crate) fn not_checked(&mut self, what: impl Display) {
        let what = what.to_string();
        if !self.not_checked.contains(&what) {
            self.not_checked.push(what);
        }
    }

    /// Whether nothing was found.
    pub(crate) fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// What was found, a line each.
    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// The last line.
    pub(crate) fn summary(&self, subject: &str) -> String {
        let mut said: Vec<_> = self.counts.iter().map(|(what, number)| format!("{number} {what}")).collect();
        if said.is_empty() {
            said.push("nothing was checked".to_owned());
        }
        let mut line = format!("{subject}: {}", said.join(", "));
        if !self.not_checked.is_empty() {
            line.push_str(&format!("; not checked: {}", self.not_checked.join("; ")));
        }
        match self.failures.len() {
            0 => line,
            number => format!("{line}; {number} FAILED"),
        }
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> Value {
        let counts: serde_json::Map<String, Value> =
            self.counts.iter().map(|&(what, number)| (what.to_owned(), number.into())).collect();
        json!({ "ok": self.passed(), "checked": counts, "not_checked": self.not_checked, "failures": self.failures })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts_what_was_checked_and_names_what_was_not() {
        let mut report = Report::default();
        report.count("manifests", 3);
        report.count("refusals", 2);
        report.count("manifests", 4);
        report.not_checked("kustomize builds (no kubectl here)");
        assert_eq!(
            report.summary("helm"),
            "helm: 7 manifests, 2 refusals; not checked: kustomize builds (no kubectl here)"
        );
    }

    #[test]
    fn a_failure_is_in_the_last_line_and_in_the_json() {
        let mut report = Report::default();
        report.fail_all("values-ha.yaml", ["no limits"]);
        assert!(!report.passed());
        assert_eq!(report.failures(), ["values-ha.yaml: no limits"]);
        assert_eq!(report.summary("helm"), "helm: nothing was checked; 1 FAILED");
        assert_eq!(report.json()["ok"], false);
    }
}
