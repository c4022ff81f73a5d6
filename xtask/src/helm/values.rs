//! The table of values, made from the comments in `values.yaml`: `# --` before a key begins its description.

use anyhow::{Result, bail};
use serde_json::Value;

use super::manifest::at;

/// One row.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    key: String,
    default: String,
    description: String,
}

/// The table in Markdown. Every value must be described, itself or with what it is part of.
pub(crate) fn table(text: &str) -> Result<(String, usize)> {
    let values: Value = serde_saphyr::from_str(text).map_err(|error| anyhow::anyhow!("values.yaml: {error}"))?;
    let rows = rows(text, &values)?;
    let mut undescribed = Vec::new();
    leaves(&values, &mut Vec::new(), &rows, &mut undescribed);
    if !undescribed.is_empty() {
        bail!("values.yaml says nothing about {}", undescribed.join(", "));
    }
    let mut table = String::from("| value | default | what it is |\n|---|---|---|\n");
    for row in &rows {
        table.push_str(&format!("| `{}` | {} | {} |\n", row.key, row.default, row.description));
    }
    Ok((table, rows.len()))
}

fn rows(text: &str, values: &Value) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    // Keys above the current line, with their indentation.
    let mut path: Vec<(usize, String)> = Vec::new();
    let mut description: Option<String> = None;
    for line in text.lines() {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        if let Some(comment) = content.strip_prefix('#') {
            let comment = comment.trim();
            match (comment.strip_prefix("--"), &mut description) {
                (Some(begins), _) => description = Some(begins.trim().to_owned()),
                (None, Some(begun)) if !comment.is_empty() => {
                    begun.push(' ');
                    begun.push_str(comment);
                }
                (None, _) => description = None,
            }
            continue;
        }
        let Some(key) = key_of(content) else {
            description = None;
            continue;
        };
        path.retain(|(above, _)| *above < indent);
        path.push((indent, key.to_owned()));
        if let Some(description) = description.take() {
            let keys: Vec<_> = path.iter().map(|(_, key)| key.as_str()).collect();
            let pointer: String = keys.iter().map(|key| format!("/{key}")).collect();
            let Some(value) = values.pointer(&pointer) else {
                bail!("values.yaml: {} is not where it seems", keys.join("."))
            };
            rows.push(Row { key: keys.join("."), default: shown(value), description: description.replace('|', "\\|") });
        }
    }
    Ok(rows)
}

/// The key that a line begins with, if it does.
fn key_of(content: &str) -> Option<&str> {
    let (key, rest) = content.split_once(':')?;
    let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
    (plain && (rest.is_empty() || rest.starts_with(' '))).then_some(key)
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.is_empty() => String::new(),
        Value::Array(items) if items.is_empty() => String::new(),
        Value::Object(table) if table.is_empty() => String::new(),
        value => format!("`{}`", value.to_string().replace('|', "\\|")),
    }
}

fn leaves(value: &Value, path: &mut Vec<String>, rows: &[Row], undescribed: &mut Vec<String>) {
    let key = path.join(".");
    if rows.iter().any(|row| row.key == key) {
        return;
    }
    match at(value, "").as_object().filter(|table| !table.is_empty()) {
        Some(table) => {
            for (name, value) in table {
                path.push(name.clone());
                leaves(value, path, rows, undescribed);
                path.pop();
            }
        }
        None => undescribed.push(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: &str = "# About this file.\n\nimage:\n  # -- Where it is\n  # taken from.\n  repository: haetae\n  # -- Its tag.\n  tag: \"\"\n# -- Chains | all of them.\nchains: []\n";

    #[test]
    fn every_described_key_is_a_row_with_its_default() {
        let (table, rows) = table(VALUES).unwrap();
        assert_eq!(rows, 3);
        assert!(table.contains("| `image.repository` | `\"haetae\"` | Where it is taken from. |"), "{table}");
        assert!(table.contains("| `image.tag` |  | Its tag. |"), "{table}");
        assert!(table.contains("| `chains` |  | Chains \\| all of them. |"), "{table}");
    }

    #[test]
    fn a_value_that_nobody_describes_is_an_error() {
        let error = table("image:\n  # -- Its tag.\n  tag: a\n  pullPolicy: Always\n").unwrap_err();
        assert!(error.to_string().contains("image.pullPolicy"), "{error}");
    }

    #[test]
    fn what_is_described_as_a_whole_needs_no_description_of_its_parts() {
        assert!(table("# -- Requests and limits.\nresources:\n  limits: { cpu: 1 }\n").is_ok());
    }
}
