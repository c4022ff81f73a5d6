//! Names of metrics: those that programs have, and those that expressions ask for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::Result;

/// By which other names Prometheus knows a metric: parts of a histogram, a counter's sum, a unit.
const SUFFIXES: [&str; 6] = ["_bucket", "_count", "_sum", "_total", "_seconds", "_bytes"];

/// First words of our metrics' names; others (`up`, `kube_…`) are not ours.
const OURS: [&str; 3] = ["haetae_", "rpc_", "db_"];

/// Metrics that expressions ask for, with the place that does.
pub(super) type Used = BTreeMap<String, String>;

/// Every metric's name in the programs' sources, as Prometheus writes it but for units.
pub(super) fn in_code(root: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for folder in ["libs", "services"] {
        read(&root.join(folder), &mut names)?;
    }
    Ok(names)
}

fn read(folder: &Path, names: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            read(&path, names)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path)?;
            let literals = text.split('"').skip(1).step_by(2);
            names.extend(literals.filter(|literal| is_name(literal)).map(|literal| literal.replace('.', "_")));
            names.extend(conventional(&text));
        }
    }
    Ok(())
}

/// `metric::RPC_SERVER_CALL_DURATION` is OpenTelemetry's own constant for `rpc.server.call.duration`.
fn conventional(source: &str) -> impl Iterator<Item = String> {
    let constants = source.split("metric::").skip(1);
    let names =
        constants.map(|rest| rest.split(|c: char| !(c.is_ascii_uppercase() || c == '_')).next().unwrap_or_default());
    names.filter(|name| !name.is_empty()).map(str::to_lowercase)
}

/// `haetae.log.size`, `rpc.server.call.duration`.
fn is_name(literal: &str) -> bool {
    literal.contains('.')
        && OURS.iter().any(|ours| literal.starts_with(&ours.replace('_', ".")))
        && literal.chars().all(|c| c.is_ascii_lowercase() || c == '.' || c == '_')
}

/// Whether a program has it.
pub(super) fn exists(name: &str, in_code: &BTreeSet<String>) -> bool {
    in_code.contains(name)
        || SUFFIXES.iter().any(|suffix| name.strip_suffix(suffix).is_some_and(|shorter| exists(shorter, in_code)))
}

/// Our metrics in an expression of PromQL. What stands in braces, quotes and lists of labels are labels.
pub(super) fn in_expression(expression: &str) -> BTreeSet<String> {
    let mut plain = String::new();
    let mut quote = None;
    let mut depth = 0_usize;
    for c in expression.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') => depth = depth.saturating_sub(1),
            (None, _) if depth == 0 => plain.push(c),
            (None, _) => {}
        }
    }
    for words in ["by", "without", "on", "ignoring", "group_left", "group_right"] {
        plain = without_labels(&plain, words);
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = plain.split(|c| !is_part(c));
    words
        .filter(|word| !word.contains(':') && OURS.iter().any(|ours| word.starts_with(ours)))
        .map(str::to_owned)
        .collect()
}

/// Takes out `WORD (label, label)`.
fn without_labels(text: &str, word: &str) -> String {
    let mut rest = text;
    let mut kept = String::new();
    while let Some(place) = rest.find(word) {
        let (before, after) = rest.split_at(place);
        let after = &after[word.len()..];
        let alone = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        kept.push_str(before);
        match after.trim_start().strip_prefix('(').filter(|_| alone) {
            Some(list) => rest = list.split_once(')').map_or("", |(_, after)| after),
            None => {
                kept.push_str(word);
                rest = after;
            }
        }
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_no_metrics() {
        let expression = r#"sum by (rpc_method) (rate(rpc_server_call_duration_seconds_count{rpc_response_status_code="haetae_x"}[5m]))
            / on (db_name) group_left haetae:ratio > haetae_log_size"#;
        let expected = ["haetae_log_size", "rpc_server_call_duration_seconds_count"].map(str::to_owned);
        assert_eq!(in_expression(expression), BTreeSet::from(expected));
    }

    #[test]
    fn a_metric_goes_by_several_names_and_no_others() {
        let known = BTreeSet::from(["rpc_server_call_duration".to_owned(), "db_client_connection_count".to_owned()]);
        for name in ["rpc_server_call_duration_seconds_bucket", "db_client_connection_count"] {
            assert!(exists(name, &known), "{name}");
        }
        assert!(!exists("rpc_client_call_duration_seconds_bucket", &known));
        assert!(!exists("rpc_server_call", &known));
    }

    #[test]
    fn names_in_sources_are_recognised() {
        assert!(is_name("haetae.log.oldest_unsealed") && is_name("db.client.connection.count"));
        let source = "meter.f64_histogram(metric::RPC_SERVER_CALL_DURATION).with_unit(\"s\")";
        assert_eq!(conventional(source).collect::<Vec<_>>(), ["rpc_server_call_duration"]);
        assert!(!is_name("haetae.example/v1") && !is_name("haetae") && !is_name("v1.haetae"));
    }
}
