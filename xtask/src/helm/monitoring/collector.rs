//! The collector's configuration. The collector itself is not to be had from the registries that are reachable here, so
//! what is checked is what its start would check first: that parts are defined and used, in an order that protects.

use std::{collections::BTreeSet, path::Path};

use anyhow::Result;
use serde_json::Value;

use crate::helm::{
    chart::stem,
    manifest::{at, document, list, object},
};
use crate::report::Report;

/// Lets through only what is listed, whatever a program sends by mistake.
const ALLOW_LIST: &str = "transform/allow";

/// Checks a configuration. `described` is the page on metrics, which tests compare with what programs send.
pub(super) fn check(file: &Path, described: &str, report: &mut Report) -> Result<()> {
    report.count("collector configurations", 1);
    report.not_checked("the collector's start (no collector is here)");
    let config = document(file)?;
    // A file that is laid over the main one names parts that are defined there.
    let whole = config.get("receivers").is_some();
    let place = format!("files/{}.yaml", stem(file));
    report.fail_all(&place, faults(&config, whole));
    if whole {
        report.fail_all(&place, held_back(&config, &attributes(described)));
    }
    Ok(())
}

/// The attributes in a page's table of metrics: the fifth column.
fn attributes(page: &str) -> BTreeSet<&str> {
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    rows.filter_map(|row| row.split('|').nth(5)).flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

/// Attributes of metrics that the list does not let through: series that differ only by them would become one.
fn held_back(config: &Value, attributes: &BTreeSet<&str>) -> Vec<String> {
    let statements = list(config, &format!("/processors/{}/metric_statements", ALLOW_LIST.replace('/', "~1")));
    let lists = statements.iter().flat_map(|part| list(part, "/statements")).filter_map(Value::as_str);
    let kept: BTreeSet<&str> = lists
        .filter(|statement| statement.starts_with("keep_keys(datapoint."))
        .flat_map(|statement| statement.split('"').skip(1).step_by(2))
        .collect();
    let missing = attributes.difference(&kept);
    missing.map(|name| format!("{ALLOW_LIST} holds back {name}, which metrics differ by")).collect()
}

fn faults(config: &Value, whole: bool) -> Vec<String> {
    let mut found = Vec::new();
    for kind in ["receivers", "processors", "exporters"] {
        let pipelines = object(config, "/service/pipelines").values();
        let used = pipelines.flat_map(|pipeline| list(pipeline, &format!("/{kind}")));
        compare(kind, used.filter_map(Value::as_str).collect(), config, whole, &mut found);
    }
    let extensions = list(config, "/service/extensions").iter().filter_map(Value::as_str).collect();
    compare("extensions", extensions, config, whole, &mut found);
    for (name, pipeline) in object(config, "/service/pipelines") {
        let processors: Vec<_> = list(pipeline, "/processors").iter().filter_map(Value::as_str).collect();
        if processors.is_empty() && !whole {
            continue;
        }
        let place = |wanted: &str| processors.iter().position(|name| *name == wanted);
        if place("memory_limiter") != Some(0) {
            found.push(format!("the pipeline {name} does not begin with memory_limiter"));
        }
        match (place(ALLOW_LIST), place("batch")) {
            (None, _) => found.push(format!("the pipeline {name} does not go through {ALLOW_LIST}")),
            (Some(list), Some(batch)) if batch < list => {
                found.push(format!("the pipeline {name} batches before {ALLOW_LIST}"))
            }
            _ => {}
        }
    }
    if whole && at(config, "/service/pipelines").is_null() {
        found.push("has no pipelines".to_owned());
    }
    found
}

fn compare(kind: &str, used: BTreeSet<&str>, config: &Value, whole: bool, found: &mut Vec<String>) {
    let defined: BTreeSet<_> = object(config, &format!("/{kind}")).keys().map(String::as_str).collect();
    if whole {
        found.extend(used.difference(&defined).map(|name| format!("uses {name} of {kind}, which is not defined")));
        // Nowhere to send to is defined for the file that is laid over this one, or not at all.
        let unused = defined.difference(&used).filter(|name| **name != "nop");
        found.extend(unused.map(|name| format!("defines {name} of {kind}, which nothing uses")));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(processors: Value, exporter: &str) -> Vec<String> {
        let config = json!({
            "receivers": { "otlp": {} },
            "processors": { "memory_limiter": {}, "transform/allow": {}, "batch": {} },
            "exporters": { "prometheus": {} },
            "service": { "pipelines": { "metrics": { "receivers": ["otlp"], "processors": processors, "exporters": [exporter] } } },
        });
        faults(&config, true)
    }

    #[test]
    fn a_pipeline_refuses_early_and_lets_through_only_what_is_listed() {
        assert_eq!(config(json!(["memory_limiter", "transform/allow", "batch"]), "prometheus"), Vec::<String>::new());
        assert_eq!(config(json!(["transform/allow", "memory_limiter", "batch"]), "prometheus").len(), 1);
        assert_eq!(config(json!(["memory_limiter", "batch", "transform/allow"]), "prometheus").len(), 1);
        assert!(
            config(json!(["memory_limiter", "batch"]), "prometheus").iter().any(|found| found.contains("go through"))
        );
    }

    #[test]
    fn what_metrics_differ_by_is_let_through() {
        let page = "| metric | … |\n| `a.b` | `a_b` | gauge | `s` | `chain`, `wanted` | Text with `code`. |\n| `c` | `c` | gauge | | | x |\n";
        let attributes = attributes(page);
        assert_eq!(attributes, BTreeSet::from(["chain", "wanted"]));
        let statement = "keep_keys(datapoint.attributes, [\"chain\"])";
        let config =
            json!({ "processors": { "transform/allow": { "metric_statements": [{ "statements": [statement] }] } } });
        assert_eq!(held_back(&config, &attributes).len(), 1);
        assert_eq!(held_back(&config, &BTreeSet::from(["chain"])), [] as [String; 0]);
    }

    #[test]
    fn what_is_used_is_defined_and_what_is_defined_is_used() {
        let found = config(json!(["memory_limiter", "transform/allow", "batch"]), "otlp/traces");
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
