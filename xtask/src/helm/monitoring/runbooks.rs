//! Runbooks: the same four questions on every page, and a list of them all.

use std::{fs, path::Path};

use anyhow::Result;

use crate::helm::chart::{files, stem};
use crate::report::Report;

const QUESTIONS: [&str; 4] = ["What you see", "What it means", "What to do", "How to know it worked"];

pub(super) fn check(chart: &Path, report: &mut Report) -> Result<()> {
    let folder = chart.join("runbooks");
    let index = fs::read_to_string(folder.join("README.md")).unwrap_or_default();
    if index.is_empty() {
        report.fail("runbooks/README.md, which lists the runbooks, is missing");
    }
    for page in files(&folder, "md")?.into_iter().filter(|page| stem(page) != "README") {
        let name = stem(&page);
        report.count("runbooks", 1);
        let text = fs::read_to_string(&page)?;
        report.fail_all(format!("runbooks/{name}.md"), faults(&text));
        if !index.contains(&format!("({name}.md)")) {
            report.fail(format!("runbooks/README.md does not list {name}.md"));
        }
    }
    Ok(())
}

fn faults(page: &str) -> Option<String> {
    let mut fenced = false;
    let mut headings = Vec::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        // A comment in a command begins as a heading does.
        if !fenced {
            headings.extend(line.strip_prefix("## "));
        }
    }
    (headings != QUESTIONS).then(|| format!("its headings are {headings:?}, not {QUESTIONS:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_answers_the_four_questions_in_order() {
        let page = "# Late\n## What you see\n## What it means\n## What to do\n```\n## a comment\n```\n## How to know it worked\n";
        assert_eq!(faults(page), None);
        assert!(faults("## What to do\n## What you see\n").is_some());
    }
}
