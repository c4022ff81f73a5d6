//! Files that are made from others and kept: what the chart renders to, and parts of pages.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::chart::{Rendered, files, stem};
use crate::{process::run, report::Report};

/// The legal rules that intake is tested with, and the chart's copy of them.
const RULES: &str = "services/intake/legal-basis.toml";
const EXAMPLE_RULES: &str = "files/legal-basis.example.toml";

/// Whether kept files are compared or written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Compared,
    Blessed,
}

/// `examples/rendered/NAME.yaml` is what `values-NAME.yaml` renders to, and nothing else is there.
pub(crate) fn rendered(chart: &Path, rendered: &[Rendered], kept: Kept, report: &mut Report) -> Result<()> {
    let folder = chart.join("examples/rendered");
    let mut wanted = BTreeSet::new();
    for release in rendered {
        let file = folder.join(format!("{}.yaml", release.name.trim_start_matches("values-")));
        report.count("rendered examples", 1);
        keep(&file, &release.text, kept, report)?;
        wanted.insert(file);
    }
    for stale in files(&folder, "yaml")?.into_iter().filter(|file| !wanted.contains(file)) {
        match kept {
            Kept::Blessed => fs::remove_file(&stale)?,
            Kept::Compared => {
                report.fail(format!("examples/rendered/{}.yaml: no values file renders to it", stem(&stale)))
            }
        }
    }
    Ok(())
}

/// The chart's example of the legal rules is a copy of the rules that intake is tested with: a chart holds no file from
/// outside of its folder.
pub(crate) fn law(root: &Path, chart: &Path, kept: Kept, report: &mut Report) -> Result<()> {
    let rules = root.join(RULES);
    let rules = fs::read_to_string(&rules).with_context(|| format!("cannot read {}", rules.display()))?;
    report.count("copies", 1);
    keep(&chart.join(EXAMPLE_RULES), &rules, kept, report)
}

/// The manifests for those without Helm are what `k8s/render.sh` writes, and no other says that it is.
pub(crate) fn manifests(root: &Path, helm: &Path, kept: Kept, report: &mut Report) -> Result<()> {
    let k8s = root.join("k8s");
    let fresh = tempfile::tempdir()?;
    let home = tempfile::tempdir()?;
    let mut render = Command::new("bash");
    render.arg(k8s.join("render.sh")).arg(fresh.path()).env("HELM", helm).env("KUBECONFIG", "/dev/null");
    for place in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        render.env(place, home.path());
    }
    let ended = run(&mut render)?;
    if !ended.ok {
        report.fail(format!("k8s/render.sh: {}", ended.said()));
        return Ok(());
    }
    let rendered = below(fresh.path())?;
    report.count("rendered manifests", rendered.len());
    for file in &rendered {
        keep(&k8s.join(file), &fs::read_to_string(fresh.path().join(file))?, kept, report)?;
    }
    for file in below(&k8s)?.difference(&rendered) {
        let text = fs::read_to_string(k8s.join(file)).unwrap_or_default();
        if text.starts_with("# Rendered from ") {
            report.fail(format!("k8s/{}: render.sh does not write it", file.display()));
        }
    }
    Ok(())
}

/// Files anywhere below a folder, by their way from it.
fn below(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let name = PathBuf::from(entry.file_name());
        if entry.file_type()?.is_dir() {
            found.extend(below(&entry.path())?.into_iter().map(|file| name.join(file)));
        } else {
            found.insert(name);
        }
    }
    Ok(found)
}

/// The part of a page between `<!-- NAME:begin -->` and `<!-- NAME:end -->`.
pub(crate) fn part_of_page(page: &Path, name: &str, part: &str, kept: Kept, report: &mut Report) -> Result<()> {
    let text = fs::read_to_string(page).unwrap_or_default();
    match with_part(&text, name, part) {
        Some(wanted) => keep(page, &wanted, kept, report),
        None => {
            report.fail(format!("{} has no <!-- {name}:begin --> … <!-- {name}:end -->", page.display()));
            Ok(())
        }
    }
}

fn with_part(page: &str, name: &str, part: &str) -> Option<String> {
    let (before, rest) = page.split_once(&format!("<!-- {name}:begin -->"))?;
    let (_, after) = rest.split_once(&format!("<!-- {name}:end -->"))?;
    Some(format!("{before}<!-- {name}:begin -->\n{}\n<!-- {name}:end -->{after}", part.trim_end()))
}

fn keep(file: &Path, wanted: &str, kept: Kept, report: &mut Report) -> Result<()> {
    let found = fs::read_to_string(file).unwrap_or_default();
    if found == wanted {
        return Ok(());
    }
    if kept == Kept::Blessed {
        fs::create_dir_all(file.parent().unwrap_or(file))?;
        fs::write(file, wanted).with_context(|| format!("cannot write {}", file.display()))?;
        eprintln!("written: {}", file.display());
        return Ok(());
    }
    report.fail(format!(
        "{} is not what it is made from. If the change is meant: cargo xtask helm --bless\n{}",
        file.display(),
        first_difference(&found, wanted)
    ));
    Ok(())
}

fn first_difference(found: &str, wanted: &str) -> String {
    let same = found.lines().zip(wanted.lines()).take_while(|(found, wanted)| found == wanted).count();
    let lines = |text: &str, sign: char| {
        let lines = text.lines().skip(same).take(3);
        lines.map(|line| format!("  {sign} {line}\n")).collect::<String>()
    };
    format!("  line {}:\n{}{}", same + 1, lines(found, '-'), lines(wanted, '+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_part_between_the_marks_is_replaced() {
        let page = "a\n<!-- values:begin -->\nold\n<!-- values:end -->\nz\n";
        let expected = "a\n<!-- values:begin -->\nnew\n<!-- values:end -->\nz\n";
        assert_eq!(with_part(page, "values", "new\n").as_deref(), Some(expected));
        assert_eq!(with_part(page, "other", "new"), None);
    }

    /// A copy that was forgotten is found by the tests of everybody, not only by whoever checks the chart.
    #[test]
    fn the_charts_example_of_the_law_is_the_law_that_intake_is_tested_with() -> Result<()> {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let mut report = Report::default();
        law(root, &root.join("helm/haetae"), Kept::Compared, &mut report)?;
        assert_eq!(report.failures(), [] as [String; 0]);
        Ok(())
    }

    #[test]
    fn files_are_found_however_deep_they_lie() -> Result<()> {
        let folder = tempfile::tempdir()?;
        fs::create_dir_all(folder.path().join("a/b"))?;
        fs::write(folder.path().join("a/b/c.yaml"), "")?;
        fs::write(folder.path().join("d.yaml"), "")?;
        assert_eq!(below(folder.path())?, BTreeSet::from(["a/b/c.yaml".into(), "d.yaml".into()]));
        Ok(())
    }

    #[test]
    fn a_kept_file_that_differs_is_found_and_blessed() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("kept.yaml");
        let mut report = Report::default();
        keep(&file, "a\nb\n", Kept::Compared, &mut report)?;
        assert!(!report.passed());
        let mut report = Report::default();
        keep(&file, "a\nb\n", Kept::Blessed, &mut report)?;
        keep(&file, "a\nb\n", Kept::Compared, &mut report)?;
        assert!(report.passed());
        Ok(())
    }

    #[test]
    fn the_first_line_that_differs_is_shown() {
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), "  line 2:\n  - b\n  + c\n");
    }
}
