//! Dashboards as code.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::Result;
use serde_json::Value;

use super::metrics::{self, Used};
use crate::helm::{
    chart::{files, stem},
    manifest::{at, list, text},
};
use crate::report::Report;

pub(super) fn check(chart: &Path, report: &mut Report) -> Result<Used> {
    let mut used = Used::new();
    let mut uids = BTreeSet::new();
    let dashboards = files(&chart.join("dashboards"), "json")?;
    report.count("dashboards", dashboards.len());
    if dashboards.is_empty() {
        report.fail("helm/haetae/dashboards holds no dashboard");
    }
    for file in dashboards {
        let place = format!("dashboards/{}.json", stem(&file));
        let dashboard: Value = match serde_json::from_str(&fs::read_to_string(&file)?) {
            Ok(dashboard) => dashboard,
            Err(error) => {
                report.fail(format!("{place}: {error}"));
                continue;
            }
        };
        if !uids.insert(text(&dashboard, "/uid").to_owned()) {
            report.fail(format!("{place}: another dashboard has its uid"));
        }
        report.fail_all(&place, faults(stem(&file), &dashboard));
        for metric in expressions(&dashboard).into_iter().flat_map(metrics::in_expression) {
            used.entry(metric).or_insert_with(|| place.clone());
        }
    }
    Ok(used)
}

fn faults(name: &str, dashboard: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let uid = text(dashboard, "/uid");
    if uid != format!("haetae-{name}") {
        found.push(format!("its uid is {uid:?}: links to it must last"));
    }
    if list(dashboard, "/panels").is_empty() {
        found.push("has no panels".to_owned());
    }
    let mut ids = BTreeSet::new();
    for panel in panels(dashboard) {
        let title = text(panel, "/title");
        if title.is_empty() {
            found.push("a panel has no title".to_owned());
        }
        if !ids.insert(at(panel, "/id").as_u64()) || at(panel, "/id").is_null() {
            found.push(format!("the panel {title:?} has no id of its own"));
        }
        for target in list(panel, "/targets") {
            if text(target, "/expr").is_empty() {
                found.push(format!("the panel {title:?} asks for nothing"));
            }
        }
    }
    found
}

/// Those inside collapsed rows too.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(dashboard, "/panels").iter().flat_map(|panel| std::iter::once(panel).chain(list(panel, "/panels")))
}

fn expressions(dashboard: &Value) -> Vec<&str> {
    let targets = panels(dashboard).flat_map(|panel| list(panel, "/targets")).map(|target| text(target, "/expr"));
    let variables = list(dashboard, "/templating/list");
    let queries = variables
        .iter()
        .flat_map(|variable| ["/query", "/query/query", "/definition"].map(|place| text(variable, place)));
    targets.chain(queries).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_panel_has_a_title_an_id_and_a_question() {
        let panel =
            |id: u64, title: &str, expr: &str| json!({ "id": id, "title": title, "targets": [{ "expr": expr }] });
        let dashboard = |panels: Value| json!({ "uid": "haetae-mesh", "panels": panels });
        assert!(faults("mesh", &dashboard(json!([panel(1, "a", "up"), panel(2, "b", "up")]))).is_empty());
        assert_eq!(faults("mesh", &dashboard(json!([panel(1, "a", "up"), panel(1, "b", "up")]))).len(), 1);
        assert_eq!(faults("mesh", &dashboard(json!([panel(1, "", "up")]))).len(), 1);
        assert_eq!(faults("mesh", &dashboard(json!([panel(1, "a", "")]))).len(), 1);
        assert_eq!(faults("chains", &dashboard(json!([panel(1, "a", "up")]))).len(), 1);
    }
}
