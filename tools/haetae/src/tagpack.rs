//! TagPacks, as GraphSense publishes them: YAML files of labels on addresses, whose head holds what is common to all.
//!
//! A pack is read event by event, so that a tag that is wrong in itself is named with its line and the rest is read on;
//! values are taken as they are spelled, since a parser that guesses types would make numbers of addresses.

pub(crate) mod write;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use haetae_wire::{
    label,
    tracking::v1::{Attribution, Label, LabelPack},
};
use thiserror::Error;

use self::yaml::{Reader, Value};

/// A file, read.
#[derive(Debug)]
pub(crate) struct TagPack {
    /// Its head. Who reads it gives it an id and may give it a series.
    pub(crate) head: LabelPack,
    /// The tags that can be taken, in the order of the file.
    pub(crate) labels: Vec<Label>,
    /// Those that cannot, each with its line.
    pub(crate) refused: Vec<Refused>,
    /// Fields that nothing is known of, and how often each is there.
    pub(crate) passed_over: BTreeMap<String, u64>,
}

/// A tag that cannot be taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Where it begins, from 1.
    pub(crate) line: usize,
    pub(crate) why: String,
}

/// Why a file cannot be taken at all.
#[derive(Debug, Error)]
pub(crate) enum Unusable {
    #[error("line {line}: this is no YAML: {what}")]
    Yaml { line: usize, what: String },
    #[error("it is no mapping of a head's fields and `tags`")]
    Shape,
    #[error("line {0}: more follows the pack; a file holds one")]
    More(usize),
    #[error("line {line}: the head's `{field}` {what}")]
    Head { line: usize, field: String, what: &'static str },
    #[error("the head says no {0}")]
    Missing(&'static str),
    #[error("it has no tags")]
    Empty,
}

/// A mapping of a pack: its head, or a tag.
#[derive(Default)]
struct Fields {
    says: Attribution,
    /// What a tag is about.
    address: String,
    title: String,
    creator: String,
    description: String,
    uri: String,
    seen: BTreeSet<&'static str>,
}

/// What became of a field.
enum Taken {
    Yes,
    Unknown,
    Wrong(&'static str),
}

const NOT_TEXT: &str = "is no text";
const NOT_TEXTS: &str = "is no list of texts";
const NOT_BOOLEAN: &str = "is neither true nor false";
const TWICE: &str = "is there twice";

/// Reads a pack.
///
/// # Errors
/// When it cannot be taken at all: it is no YAML, or its head is of no use.
pub(crate) fn read(text: &str) -> Result<TagPack, Unusable> {
    let mut reader = Reader::new(text);
    if !reader.enter_mapping()? {
        return Err(Unusable::Shape);
    }
    let mut head = Fields::default();
    let mut tags = None;
    let mut refused = Vec::new();
    let mut passed_over = BTreeMap::new();
    while let Some((key, line)) = reader.key()? {
        if key == "tags" {
            if tags.is_some() {
                return Err(Unusable::Head { line, field: key, what: TWICE });
            }
            tags = Some(read_tags(&mut reader, &mut refused, &mut passed_over)?);
            continue;
        }
        match head.take(&key, reader.value()?, true) {
            Taken::Yes => {}
            Taken::Unknown => *passed_over.entry(key).or_default() += 1,
            Taken::Wrong(what) => return Err(Unusable::Head { line, field: key, what }),
        }
    }
    reader.finish()?;
    let tags = tags.ok_or(Unusable::Missing("tags"))?;
    if tags.is_empty() && refused.is_empty() {
        return Err(Unusable::Empty);
    }
    for (name, text) in [("title", &head.title), ("creator", &head.creator)] {
        if text.trim().is_empty() {
            return Err(Unusable::Missing(name));
        }
    }
    // What a tag inherits may stand behind it, so that nothing can be said of tags before the end.
    let mut labels = Vec::with_capacity(tags.len());
    for (line, tag) in tags {
        let read = Label { address: tag.address, says: Some(tag.says) };
        match label::account(&read, &head.says) {
            Ok(_) => labels.push(read),
            Err(fault) => refused.push(Refused { line, why: fault.to_string() }),
        }
    }
    refused.sort_by_key(|refused| refused.line);
    let series = series_of(&head.title, &head.creator, &head.uri);
    let head = LabelPack {
        pack_id: String::new(),
        series,
        title: head.title,
        creator: head.creator,
        description: head.description,
        says: Some(head.says),
        labels: labels.len() as u64,
        refused: refused.len() as u64,
        passed_over: passed_over.values().sum(),
    };
    Ok(TagPack { head, labels, refused, passed_over })
}

/// What tells a newer version of a pack from another pack: its URI, or its title and creator.
fn series_of(title: &str, creator: &str, uri: &str) -> String {
    if uri.is_empty() { format!("{title} — {creator}") } else { uri.to_owned() }
}

fn read_tags(
    reader: &mut Reader<'_>,
    refused: &mut Vec<Refused>,
    passed_over: &mut BTreeMap<String, u64>,
) -> Result<Vec<(usize, Fields)>, Unusable> {
    let mut tags = Vec::new();
    if !reader.enter_sequence()? {
        return Err(Unusable::Missing("list of tags"));
    }
    while let Some(line) = reader.item()? {
        if !reader.enter_mapping()? {
            refused.push(Refused { line, why: "is no mapping".to_owned() });
            continue;
        }
        let mut tag = Fields::default();
        let mut wrong = None;
        while let Some((key, _)) = reader.key()? {
            match tag.take(&key, reader.value()?, false) {
                Taken::Yes => {}
                Taken::Unknown => *passed_over.entry(key).or_default() += 1,
                Taken::Wrong(what) => wrong = wrong.or(Some(format!("its {key} {what}"))),
            }
        }
        match wrong {
            None => tags.push((line, tag)),
            Some(why) => refused.push(Refused { line, why }),
        }
    }
    Ok(tags)
}

impl Fields {
    fn take(&mut self, key: &str, value: Value, head: bool) -> Taken {
        let says = &mut self.says;
        let (name, place) = match key {
            "concepts" => {
                if !self.seen.insert("concepts") {
                    return Taken::Wrong(TWICE);
                }
                return match value {
                    Value::None => Taken::Yes,
                    Value::List(concepts) => {
                        says.concepts = concepts;
                        Taken::Yes
                    }
                    Value::Text(_) | Value::Other => Taken::Wrong(NOT_TEXTS),
                };
            }
            "is_cluster_definer" => {
                if !self.seen.insert("is_cluster_definer") {
                    return Taken::Wrong(TWICE);
                }
                says.is_cluster_definer = match value {
                    Value::None => None,
                    Value::Text(text) => match text.to_ascii_lowercase().as_str() {
                        "true" | "yes" | "on" => Some(true),
                        "false" | "no" | "off" => Some(false),
                        _ => return Taken::Wrong(NOT_BOOLEAN),
                    },
                    Value::List(_) | Value::Other => return Taken::Wrong(NOT_BOOLEAN),
                };
                return Taken::Yes;
            }
            "label" => ("label", &mut says.label),
            "source" => ("source", &mut says.source),
            "currency" => ("currency", &mut says.currency),
            "network" => ("network", &mut says.network),
            "actor" => ("actor", &mut says.actor),
            "category" => ("category", &mut says.category),
            "abuse" => ("abuse", &mut says.abuse),
            "confidence" => ("confidence", &mut says.confidence),
            "lastmod" => ("lastmod", &mut says.lastmod),
            "context" => ("context", &mut says.context),
            "tag_type" => ("tag_type", &mut says.tag_type),
            "address" if !head => ("address", &mut self.address),
            "title" if head => ("title", &mut self.title),
            "creator" if head => ("creator", &mut self.creator),
            "description" if head => ("description", &mut self.description),
            "uri" if head => ("uri", &mut self.uri),
            _ => return Taken::Unknown,
        };
        if !self.seen.insert(name) {
            return Taken::Wrong(TWICE);
        }
        match value {
            Value::None => Taken::Yes,
            Value::Text(text) => {
                *place = text;
                Taken::Yes
            }
            Value::List(_) | Value::Other => Taken::Wrong(NOT_TEXT),
        }
    }
}

#[cfg(test)]
mod tests;
