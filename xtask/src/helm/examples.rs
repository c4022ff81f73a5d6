//! Files that are made from others and kept: what the chart renders to, and parts of pages.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result};

use super::chart::{Rendered, files, stem};
use crate::report::Report;

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
