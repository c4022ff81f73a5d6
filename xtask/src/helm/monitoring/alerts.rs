//! One alert a file: with its runbook, and a test that sees it fire and a case where it must not.

use std::{path::Path, process::Command};

use anyhow::Result;
use serde_json::Value;

use super::metrics::{self, Used};
use crate::helm::{
    chart::{files, stem},
    manifest::{document, list, text},
};
use crate::{process::run, report::Report};

pub(super) fn check(chart: &Path, promtool: &Path, report: &mut Report) -> Result<Used> {
    let rules = files(&chart.join("rules"), "yaml")?;
    let tests = files(&chart.join("rules/tests"), "yaml")?;
    report.count("alerts with a runbook and a test", rules.len());
    if rules.is_empty() {
        report.fail("helm/haetae/rules holds no alert");
        return Ok(Used::new());
    }
    for (what, command, files) in [("check", "rules", &rules), ("test", "rules", &tests)] {
        let ended = run(Command::new(promtool).args([what, command]).args(files))?;
        if !ended.ok {
            report.fail(format!("promtool {what} {command}: {}{}", ended.stdout.trim(), ended.stderr.trim()));
        }
    }
    let mut used = Used::new();
    for file in &rules {
        let name = stem(file);
        let place = format!("rules/{name}.yaml");
        report.fail_all(&place, faults(name, &document(file)?, &mut used));
        if !chart.join(format!("runbooks/{name}.md")).is_file() {
            report.fail(format!("{place}: no runbooks/{name}.md"));
        }
        let test = chart.join(format!("rules/tests/{name}.yaml"));
        match test.is_file().then(|| document(&test)).transpose()? {
            Some(test) => report.fail_all(format!("rules/tests/{name}.yaml"), untested(name, &test)),
            None => report.fail(format!("{place}: no rules/tests/{name}.yaml")),
        }
    }
    for test in tests.iter().filter(|test| !rules.iter().any(|rule| stem(rule) == stem(test))) {
        report.fail(format!("rules/tests/{}.yaml tests no rule", stem(test)));
    }
    Ok(used)
}

fn faults(name: &str, file: &Value, used: &mut Used) -> Vec<String> {
    let mut found = Vec::new();
    let mut alerts = 0;
    for rule in list(file, "/groups").iter().flat_map(|group| list(group, "/rules")) {
        for metric in metrics::in_expression(text(rule, "/expr")) {
            used.entry(metric).or_insert_with(|| format!("rules/{name}.yaml"));
        }
        let alert = text(rule, "/alert");
        if alert.is_empty() {
            continue;
        }
        alerts += 1;
        if alert != name {
            found.push(format!("holds the alert {alert}"));
        }
        let severity = text(rule, "/labels/severity");
        if !["page", "ticket"].contains(&severity) {
            found.push(format!("severity is {severity:?}: someone is woken (page) or not (ticket)"));
        }
        for key in ["summary", "description"] {
            if text(rule, &format!("/annotations/{key}")).trim().is_empty() {
                found.push(format!("has no {key}"));
            }
        }
        let runbook = text(rule, "/annotations/runbook_url");
        if runbook != format!("runbooks/{name}.md") {
            found.push(format!("its runbook_url is {runbook:?}"));
        }
    }
    if alerts == 0 {
        found.push("holds no alert".to_owned());
    }
    found
}

fn untested(name: &str, test: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if !list(test, "/rule_files").iter().any(|file| file == &format!("../{name}.yaml")) {
        found.push(format!("does not load ../{name}.yaml"));
    }
    let cases = || {
        list(test, "/tests")
            .iter()
            .flat_map(|test| list(test, "/alert_rule_test"))
            .filter(|case| text(case, "/alertname") == name)
    };
    if !cases().any(|case| !list(case, "/exp_alerts").is_empty()) {
        found.push(format!("never sees {name} fire"));
    }
    if !cases().any(|case| list(case, "/exp_alerts").is_empty()) {
        found.push(format!("has no case where {name} must not fire"));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut file = json!({ "groups": [{ "rules": [{
            "alert": "Late", "expr": "haetae_log_size > 1", "labels": { "severity": "page" },
            "annotations": { "summary": "s", "description": "d", "runbook_url": "runbooks/Late.md" },
        }] }] });
        change(&mut file["groups"][0]["rules"][0]);
        faults("Late", &file, &mut Used::new())
    }

    #[test]
    fn an_alert_says_who_is_woken_why_and_what_to_do() {
        assert_eq!(rule(|_| {}), Vec::<String>::new());
        assert_eq!(rule(|rule| rule["alert"] = json!("Other")).len(), 1);
        assert_eq!(rule(|rule| rule["labels"]["severity"] = json!("warning")).len(), 1);
        assert_eq!(rule(|rule| rule["annotations"]["summary"] = json!(" ")).len(), 1);
        assert_eq!(rule(|rule| rule["annotations"]["runbook_url"] = json!("runbooks/Other.md")).len(), 1);
    }

    #[test]
    fn a_test_sees_the_alert_fire_and_stay_silent() {
        let case = |alerts: Value| json!({ "alertname": "Late", "exp_alerts": alerts });
        let test = |cases: Value| json!({ "rule_files": ["../Late.yaml"], "tests": [{ "alert_rule_test": cases }] });
        assert!(untested("Late", &test(json!([case(json!([{}])), case(json!([]))]))).is_empty());
        assert_eq!(untested("Late", &test(json!([case(json!([]))]))), ["never sees Late fire"]);
        assert_eq!(untested("Late", &test(json!([case(json!([{}]))]))), ["has no case where Late must not fire"]);
    }
}
