//! What watches the mesh: alerts and their tests, runbooks, dashboards, the collector. Prometheus' own `promtool` checks
//! and tests the rules; that the parts fit one another, and the code, is checked here.

mod alerts;
mod collector;
mod dashboards;
mod metrics;
mod runbooks;

use std::{fs, path::Path};

use anyhow::Result;

use super::chart::files;
use crate::report::Report;

/// Checks everything under the chart's `rules`, `runbooks`, `dashboards` and `files`.
pub(crate) fn check(root: &Path, chart: &Path, promtool: &Path, report: &mut Report) -> Result<()> {
    let metrics = metrics::in_code(root)?;
    let mut used = alerts::check(chart, promtool, report)?;
    used.extend(dashboards::check(chart, report)?);
    report.count("metrics in rules and dashboards", used.len());
    for (name, place) in &used {
        if !metrics::exists(name, &metrics) {
            report.fail(format!("{place}: no program has a metric {name}"));
        }
    }
    runbooks::check(chart, report)?;
    let described = fs::read_to_string(chart.join("METRICS.md")).unwrap_or_default();
    for file in files(&chart.join("files"), "yaml")? {
        if file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("collector")) {
            collector::check(&file, &described, report)?;
        }
    }
    Ok(())
}
