//! As much of YAML as packs are made of: a mapping of texts and lists of texts, read event by event.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, StrInput};

use super::Unusable;

/// Aliases that are remembered; published packs have none.
const MOST_ANCHORS: usize = 10_000;

/// A value of a field.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Null, in any spelling.
    None,
    /// As it is spelled.
    Text(String),
    List(Vec<String>),
    /// Anything deeper.
    Other,
}

/// What packs can have at a place.
enum Node {
    Scalar {
        text: String,
        null: bool,
    },
    Sequence,
    Mapping,
    /// Of a sequence or mapping, or of the document.
    End,
}

pub(super) struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// Looked at and not taken yet.
    next: Option<(Node, usize)>,
    /// Texts that others refer to.
    anchors: HashMap<usize, (String, bool)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { parser: Parser::new_from_str(text), next: None, anchors: HashMap::new() }
    }

    /// Enters the mapping that comes next; false where something else comes, which is passed over.
    pub(super) fn enter_mapping(&mut self) -> Result<bool, Unusable> {
        match self.take()?.0 {
            Node::Mapping => Ok(true),
            other => self.pass_over(&other).map(|()| false),
        }
    }

    /// The same for a sequence.
    pub(super) fn enter_sequence(&mut self) -> Result<bool, Unusable> {
        match self.take()?.0 {
            Node::Sequence => Ok(true),
            other => self.pass_over(&other).map(|()| false),
        }
    }

    /// The next key of a mapping, and its line; none at its end. Keys that are no texts have no name.
    pub(super) fn key(&mut self) -> Result<Option<(String, usize)>, Unusable> {
        let (node, line) = self.take()?;
        Ok(match node {
            Node::End => None,
            Node::Scalar { text, .. } => Some((text, line)),
            other => {
                self.pass_over(&other)?;
                Some((String::new(), line))
            }
        })
    }

    /// The value of the key before.
    pub(super) fn value(&mut self) -> Result<Value, Unusable> {
        Ok(match self.take()?.0 {
            Node::Scalar { null: true, .. } | Node::End => Value::None,
            Node::Scalar { text, .. } => Value::Text(text),
            Node::Sequence => {
                let mut texts = Some(Vec::new());
                loop {
                    match self.take()?.0 {
                        Node::End => break,
                        Node::Scalar { text, .. } => {
                            if let Some(texts) = &mut texts {
                                texts.push(text);
                            }
                        }
                        other => {
                            self.pass_over(&other)?;
                            texts = None;
                        }
                    }
                }
                texts.map_or(Value::Other, Value::List)
            }
            Node::Mapping => {
                self.pass_over(&Node::Mapping)?;
                Value::Other
            }
        })
    }

    /// The line of the next item of a sequence; none at its end.
    pub(super) fn item(&mut self) -> Result<Option<usize>, Unusable> {
        let (node, line) = self.take()?;
        if matches!(node, Node::End) {
            return Ok(None);
        }
        self.next = Some((node, line));
        Ok(Some(line))
    }

    /// Nothing may follow.
    pub(super) fn finish(&mut self) -> Result<(), Unusable> {
        loop {
            let Some((event, line)) = self.event()? else { return Ok(()) };
            if matches!(event, Event::DocumentStart(..)) {
                return Err(Unusable::More(line));
            }
        }
    }

    /// What is left of a node whose beginning was taken.
    fn pass_over(&mut self, node: &Node) -> Result<(), Unusable> {
        let mut depth = usize::from(matches!(node, Node::Sequence | Node::Mapping));
        while depth > 0 {
            match self.take()?.0 {
                Node::Sequence | Node::Mapping => depth += 1,
                Node::End => depth -= 1,
                Node::Scalar { .. } => {}
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Result<(Node, usize), Unusable> {
        if let Some(looked_at) = self.next.take() {
            return Ok(looked_at);
        }
        loop {
            let Some((event, line)) = self.event()? else {
                return Ok((Node::End, 0));
            };
            let node = match event {
                Event::Scalar(text, style, anchor, _) => {
                    let null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                    let text = text.into_owned();
                    if anchor > 0 && self.anchors.len() < MOST_ANCHORS {
                        self.anchors.insert(anchor, (text.clone(), null));
                    }
                    Node::Scalar { text, null }
                }
                // Whatever is deeper than a text would have to be kept to be repeated: it is taken for nothing.
                Event::Alias(anchor) => {
                    let (text, null) = self.anchors.get(&anchor).cloned().unwrap_or((String::new(), true));
                    Node::Scalar { text, null }
                }
                Event::SequenceStart(..) => Node::Sequence,
                Event::MappingStart(..) => Node::Mapping,
                Event::SequenceEnd | Event::MappingEnd | Event::DocumentEnd | Event::StreamEnd => Node::End,
                _ => continue,
            };
            return Ok((node, line));
        }
    }

    fn event(&mut self) -> Result<Option<(Event<'a>, usize)>, Unusable> {
        let Some(next) = self.parser.next_event() else { return Ok(None) };
        let (event, span) = next?;
        Ok(Some((event, span.start.line())))
    }
}

impl From<ScanError> for Unusable {
    fn from(error: ScanError) -> Self {
        Self::Yaml { line: error.marker().line(), what: error.info() }
    }
}
