//! `cargo xtask helm`: the chart and what goes with it, checked by the real helm, Kubernetes' own schemas, Prometheus' own
//! tool and the mesh's own programs. No cluster takes part; the last line counts what was checked and names what was not.

mod chart;
mod config;
mod examples;
mod kustomize;
mod manifest;
mod monitoring;
mod network;
mod policy;
mod reach;
mod schema;
mod values;

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use haetae_testkit::{
    binaries,
    parts::{Install, Part, ensure},
};

use self::chart::{Chart, RELEASE, Rendered};
pub(crate) use self::examples::{Kept, part_of_page};
use crate::{demo::PROGRAMS, report::Report};

/// What no machine without a cluster and a registry can show. The chart's README says the same.
const NEVER_CHECKED: [&str; 2] =
    ["whether a live cluster takes it", "the Dockerfile's compile stage (its base comes from a registry)"];

/// Checks everything, and fails when anything is wrong.
pub(crate) fn check(kept: Kept, json: bool, install: Install) -> Result<()> {
    let root = fs::canonicalize(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))?;
    let parts = ensure(&[Part::Helm, Part::KubernetesValidate, Part::Promtool], install)?;
    let programs = binaries::built(&PROGRAMS)?;
    let chart = Chart::open(root.join("helm/haetae"), parts.path(Part::Helm)?)?;
    let mut report = Report::default();

    examples::law(&root, &chart.folder, kept, &mut report)?;
    let releases = releases(&chart, parts.path(Part::KubernetesValidate)?, &mut report)?;
    chart.refusals(schema::VERSIONS[2], &mut report)?;
    examples::rendered(&chart.folder, &releases, kept, &mut report)?;
    table_of_values(&chart.folder, kept, &mut report)?;

    let callers = reach::callers()?;
    let listed = serde_json::from_value(manifest::document(&chart.folder.join("files/calls.yaml"))?)?;
    report.fail_all("files/calls.yaml", reach::compare(&listed, &callers));

    examples::manifests(&root, parts.path(Part::Helm)?, kept, &mut report)?;
    let kustomized = kustomize::build(&root, &mut report)?;
    for version in schema::VERSIONS {
        schema::check(parts.path(Part::KubernetesValidate)?, version, &kustomized, &mut report)?;
    }
    schema::unchecked(releases.iter().chain(&kustomized).flat_map(|release| &release.objects), &mut report);
    for release in releases.iter().chain(&kustomized) {
        report.fail_all(&release.name, policy::judge(&release.objects));
        report.count("objects against the policies", release.objects.len());
        let reached = reach::judge(&release.objects, RELEASE, &callers);
        report.count("pairs of pods and ports", reached.pairs);
        report.fail_all(&release.name, reached.findings);
        config::check(release, &programs, &mut report)?;
    }
    monitoring::check(&root, &chart.folder, parts.path(Part::Promtool)?, &mut report)?;
    for what in NEVER_CHECKED {
        report.not_checked(what);
    }
    conclude(&report, json)
}

/// Lints every values file, and renders and validates it for every version; returns what the newest renders.
fn releases(chart: &Chart<'_>, validate: &Path, report: &mut Report) -> Result<Vec<Rendered>> {
    schema::promised(&chart.folder, report)?;
    let files = chart.values()?;
    report.count("values files", files.len());
    let mut newest = Vec::new();
    for file in &files {
        let ended = chart.lint(file)?;
        if !ended.ok {
            report.fail(format!("helm lint of {}: {}", chart::stem(file), ended.said()));
        }
    }
    for version in schema::VERSIONS {
        newest.clear();
        for file in &files {
            match chart.render(file, version) {
                Ok(rendered) => newest.push(rendered),
                Err(error) => report.fail(format!("{} for Kubernetes {version}: {error:#}", chart::stem(file))),
            }
        }
        schema::check(validate, version, &newest, report)?;
    }
    Ok(newest)
}

fn table_of_values(chart: &Path, kept: Kept, report: &mut Report) -> Result<()> {
    let text = fs::read_to_string(chart.join("values.yaml")).context("the chart has no values.yaml")?;
    match values::table(&text) {
        Ok((table, rows)) => {
            report.count("described values", rows);
            examples::part_of_page(&chart.join("README.md"), "values", &table, kept, report)?;
        }
        Err(error) => report.fail(error),
    }
    Ok(())
}

fn conclude(report: &Report, json: bool) -> Result<()> {
    for failure in report.failures() {
        eprintln!("FAILED {failure}");
    }
    eprintln!();
    if json {
        eprintln!("{}", report.summary("helm"));
        println!("{}", report.json());
    } else {
        println!("{}", report.summary("helm"));
    }
    if !report.passed() {
        bail!("{} findings", report.failures().len());
    }
    Ok(())
}
