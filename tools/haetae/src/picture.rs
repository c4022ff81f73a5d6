//! A trace as a picture: money flows from left to right.
//!
//! Three steps, none of which does more than compute: what is shown ([`flow`], with what is told apart from what is said
//! together in [`group`]), where it stands ([`layout`]), and the document ([`svg`], [`html`], [`graphml`], [`document`]).
//! Whatever comes from elsewhere (addresses, labels, case numbers) is hostile until it is escaped.

mod details;
mod document;
mod flow;
mod graphml;
mod group;
mod html;
mod layout;
mod list;
mod sheet;
mod svg;
#[cfg(test)]
mod tests;
mod text;

use std::path::Path;

pub(crate) use self::{
    flow::{Flow, Question},
    list::list,
};

/// What kind of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Svg,
    Html,
    Json,
    Graphml,
}

impl Form {
    /// By the ending of a file's name.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "svg" => Some(Self::Svg),
            "html" | "htm" => Some(Self::Html),
            "json" => Some(Self::Json),
            "graphml" => Some(Self::Graphml),
            _ => None,
        }
    }
}

/// Draws a flow.
pub(crate) fn draw(flow: &Flow, form: Form) -> anyhow::Result<String> {
    match form {
        Form::Svg => Ok(svg::document(&group::grouped(flow).unwrap_or_else(|| flow.clone()))),
        Form::Html => html::document(flow),
        Form::Json => Ok(format!("{:#}\n", document::json(flow))),
        Form::Graphml => Ok(graphml::document(flow)),
    }
}
