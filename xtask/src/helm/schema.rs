//! Manifests compared with Kubernetes' own schemas, strictly: an unknown field is an error, not a wish.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{
    chart::Rendered,
    manifest::{Object, document},
};
use crate::{process::run, report::Report};

/// The oldest that the chart says it runs on, one in the middle, and the newest whose schema is to be had.
pub(crate) const VERSIONS: [&str; 3] = ["1.27", "1.32", "1.37"];

/// Checks everything that was rendered for one version; kinds that operators define have no schema here.
pub(crate) fn check(validate: &Path, version: &str, rendered: &[Rendered], report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut files = Vec::new();
    for release in rendered {
        let own: Vec<&Value> =
            release.objects.iter().filter(|object| object.is_built_in()).map(|object| &object.0).collect();
        report.count("manifests against Kubernetes' schemas", own.len());
        files.push(write(folder.path(), &release.name, &own)?);
    }
    let ended = run(Command::new(validate).args(["--strict", "--kubernetes-version", version]).args(&files))?;
    let place = format!("{}/", folder.path().display());
    // A built-in kind without a schema is one that this version does not have.
    let wrong: Vec<_> = ended.lines_with("ERROR ").chain(ended.lines_with("WARN ")).collect();
    for line in &wrong {
        report.fail(format!("Kubernetes {version}: {}", line.replace(&place, "")));
    }
    let passed = ended.lines_with(" passed for resource").count();
    let expected: usize = rendered.iter().map(|r| r.objects.iter().filter(|object| object.is_built_in()).count()).sum();
    if wrong.is_empty() && (!ended.ok || passed != expected) {
        report.fail(format!(
            "Kubernetes {version}: {passed} of {expected} manifests were checked: {:.600}",
            ended.stderr.trim()
        ));
    }
    Ok(())
}

/// Kinds that come with operators, whose schemas are not to be had here.
pub(crate) fn unchecked<'a>(objects: impl IntoIterator<Item = &'a Object>, report: &mut Report) {
    let kinds: BTreeSet<_> =
        objects.into_iter().filter(|object| !object.is_built_in()).map(|object| object.kind().to_owned()).collect();
    if !kinds.is_empty() {
        let kinds: Vec<_> = kinds.into_iter().collect();
        report.not_checked(format!("the schemas of {}", kinds.join(" and ")));
    }
}

/// JSON is YAML.
fn write(folder: &Path, name: &str, objects: &[&Value]) -> Result<PathBuf> {
    let file = folder.join(format!("{}.yaml", name.replace('/', "-")));
    let documents: Vec<String> = objects.iter().map(|object| object.to_string()).collect();
    fs::write(&file, documents.join("\n---\n")).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// The chart says which versions it runs on; the oldest is the oldest that is checked.
pub(crate) fn promised(chart: &Path, report: &mut Report) -> Result<()> {
    let chart = document(&chart.join("Chart.yaml"))?;
    let promised = chart["kubeVersion"].as_str().unwrap_or_default();
    if !promised.starts_with(&format!(">={}.", VERSIONS[0])) {
        report.fail(format!(
            "Chart.yaml promises Kubernetes {promised:?}, but the oldest that is checked is {}",
            VERSIONS[0]
        ));
    }
    Ok(())
}
