//! The manifests for those without Helm, built by the `kubectl` or `kustomize` of this machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use super::{chart::Rendered, manifest};
use crate::{process::run, report::Report};

/// Builds every kustomization below `k8s/`.
pub(crate) fn build(root: &Path, report: &mut Report) -> Result<Vec<Rendered>> {
    let k8s = root.join("k8s");
    let mut folders = Vec::new();
    kustomizations(&k8s, &mut folders)?;
    if folders.is_empty() {
        report.fail("k8s/ holds no kustomization");
        return Ok(Vec::new());
    }
    let Some(builder) = builder()? else {
        report.not_checked(format!("{} kustomizations, because no kubectl or kustomize is here", folders.len()));
        return Ok(Vec::new());
    };
    let mut built = Vec::new();
    for folder in folders {
        let name = format!("k8s/{}", folder.strip_prefix(&k8s).unwrap_or(&folder).display());
        report.count("kustomizations", 1);
        let ended = run(Command::new(&builder[0]).args(&builder[1..]).arg(&folder).env("KUBECONFIG", "/dev/null"))?;
        if !ended.ok {
            report.fail(format!("{name}: {}", ended.stderr.trim()));
            continue;
        }
        for warning in ended.lines_with("Warning:") {
            report.fail(format!("{name}: {warning}"));
        }
        match manifest::parse(&ended.stdout) {
            Ok(objects) => built.push(Rendered { name, text: ended.stdout, objects }),
            Err(error) => report.fail(format!("{name}: {error:#}")),
        }
    }
    Ok(built)
}

/// The command that builds a folder, where there is one.
fn builder() -> Result<Option<Vec<String>>> {
    for command in [&["kubectl", "kustomize"][..], &["kustomize", "build"][..]] {
        let there = Command::new(command[0]).args(&command[1..]).arg("--help").output();
        if there.is_ok_and(|ended| ended.status.success()) {
            return Ok(Some(command.iter().map(|&word| word.to_owned()).collect()));
        }
    }
    Ok(None)
}

/// Components are built with what they are part of.
fn kustomizations(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    let file = folder.join("kustomization.yaml");
    if file.is_file() && manifest::document(&file)?["kind"] != "Component" {
        found.push(folder.to_owned());
    }
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<std::io::Result<_>>()?;
    entries.sort_by_key(fs::DirEntry::path);
    for entry in entries {
        if entry.file_type()?.is_dir() {
            kustomizations(&entry.path(), found)?;
        }
    }
    Ok(())
}
