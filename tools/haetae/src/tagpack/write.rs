//! Writing a TagPack, so that reading it gives the same again.

use std::io::{self, Write};

use haetae_wire::tracking::v1::{Attribution, Label, LabelPack};

use super::series_of;

/// Writes a pack's head. Its labels follow, each by [`label`].
pub(crate) fn head(out: &mut impl Write, pack: &LabelPack) -> io::Result<()> {
    for (key, text) in [("title", &pack.title), ("creator", &pack.creator), ("description", &pack.description)] {
        field(out, "", key, text)?;
    }
    if pack.series != series_of(&pack.title, &pack.creator, "") {
        field(out, "", "uri", &pack.series)?;
    }
    if let Some(says) = &pack.says {
        attribution(out, "", says)?;
    }
    out.write_all(b"tags:\n")
}

/// Writes a label.
pub(crate) fn label(out: &mut impl Write, label: &Label) -> io::Result<()> {
    writeln!(out, "- address: {}", quoted(&label.address))?;
    label.says.as_ref().map_or(Ok(()), |says| attribution(out, "  ", says))
}

fn attribution(out: &mut impl Write, indent: &str, says: &Attribution) -> io::Result<()> {
    for (key, text) in [
        ("label", &says.label),
        ("source", &says.source),
        ("currency", &says.currency),
        ("network", &says.network),
        ("actor", &says.actor),
        ("category", &says.category),
        ("abuse", &says.abuse),
        ("confidence", &says.confidence),
        ("lastmod", &says.lastmod),
        ("context", &says.context),
        ("tag_type", &says.tag_type),
    ] {
        field(out, indent, key, text)?;
    }
    if let Some(definer) = says.is_cluster_definer {
        writeln!(out, "{indent}is_cluster_definer: {definer}")?;
    }
    if !says.concepts.is_empty() {
        writeln!(out, "{indent}concepts:")?;
        for concept in &says.concepts {
            writeln!(out, "{indent}- {}", quoted(concept))?;
        }
    }
    Ok(())
}

fn field(out: &mut impl Write, indent: &str, key: &str, text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    // A date in quotes is none to those who read packs with types.
    let dated = key == "lastmod"
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b"-: .TZ+".contains(&b))
        && !text.ends_with([' ', ':']);
    let value = if dated { text.to_owned() } else { quoted(text) };
    writeln!(out, "{indent}{key}: {value}")
}

/// A JSON string is a double-quoted YAML scalar.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
