//! The page on metrics says what the code says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A row of the page.
pub(crate) struct Described {
    prometheus: String,
    pub(crate) kind: String,
    pub(crate) unit: String,
    pub(crate) attributes: BTreeSet<String>,
}

/// The page's rows by metric.
pub(crate) fn documented() -> BTreeMap<String, Described> {
    let page = fs::read_to_string(Path::new(ROOT).join("helm/haetae/METRICS.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let read = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, prometheus, kind, unit, attributes, meaning] = cells[..] else { panic!("{line}") };
        let bare = |cell: &str| cell.trim_matches('`').to_owned();
        assert!(meaning.ends_with('.'), "{line}");
        let attributes = attributes.split(',').map(|cell| bare(cell.trim())).filter(|cell| !cell.is_empty()).collect();
        let (prometheus, kind, unit) = (bare(prometheus), kind.to_owned(), bare(unit));
        (bare(name), Described { prometheus, kind, unit, attributes })
    };
    rows.map(read).collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Names of metrics in the services' and libraries' code: literals such as `"haetae.log.size"`, and those of the
/// conventions, such as `metric::DB_CLIENT_CONNECTION_MAX`.
fn in_the_code() -> BTreeSet<String> {
    let mut files = Vec::new();
    for folder in ["libs", "services"] {
        for entry in fs::read_dir(Path::new(ROOT).join(folder)).unwrap() {
            sources(&entry.unwrap().path().join("src"), &mut files);
        }
    }
    let mut names = BTreeSet::new();
    for file in files {
        let code = fs::read_to_string(file).unwrap();
        let named = code.split('"').skip(1).step_by(2).filter(|text| is_metric(text)).map(str::to_owned);
        names.extend(named);
        let conventional = code.split("metric::").skip(1).filter_map(|rest| {
            let name: String = rest.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
            (!name.is_empty()).then(|| name.to_lowercase().replace('_', "."))
        });
        names.extend(conventional);
    }
    names
}

fn is_metric(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c == '.' || c == '_';
    text.starts_with("haetae.") && text.matches('.').count() > 1 && text.chars().all(plain)
}

/// As the collector's exporter names it.
fn in_prometheus(name: &str, metric: &Described) -> String {
    let unit = if metric.unit == "s" { "_seconds" } else { "" };
    let total = if metric.kind == "counter" { "_total" } else { "" };
    format!("{}{unit}{total}", name.replace('.', "_"))
}

#[test]
fn every_metric_is_described_and_every_description_is_of_a_metric() {
    let described: BTreeSet<String> = documented().into_keys().collect();
    let code = in_the_code();
    let difference: Vec<_> = described.symmetric_difference(&code).collect();
    assert!(difference.is_empty(), "{difference:?}");
    assert!(code.len() > 40, "{code:?}");
}

#[test]
fn names_in_prometheus_are_those_that_the_collector_makes() {
    for (name, metric) in documented() {
        assert_eq!(metric.prometheus, in_prometheus(&name, &metric));
    }
}
