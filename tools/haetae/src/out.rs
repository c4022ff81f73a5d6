//! Where results go: whole documents for people or programs, and signs of life while one waits.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use crate::{failure::Failure, show::Look};

/// The reader of what is printed.
#[derive(Debug)]
pub(crate) struct Out {
    json: bool,
    /// How things look to him.
    pub(crate) look: Look,
}

impl Out {
    /// For programs, or for people with the assets that the profile names.
    pub(crate) fn new(json: bool, look: Look) -> Self {
        Self { json, look }
    }

    /// Prints a whole result: one JSON document, or a text.
    pub(crate) fn print(
        &self,
        json: impl FnOnce() -> anyhow::Result<Value>,
        text: impl FnOnce(&Look) -> String,
    ) -> Result<(), Failure> {
        let whole = if self.json { format!("{:#}\n", json()?) } else { text(&self.look) };
        write(&whole)
    }

    /// Prints one piece of a stream: a line of JSON, or a text.
    pub(crate) fn print_line(
        &self,
        json: impl FnOnce() -> anyhow::Result<Value>,
        text: impl FnOnce(&Look) -> String,
    ) -> Result<(), Failure> {
        let line = if self.json { format!("{}\n", json()?) } else { format!("{}\n", text(&self.look)) };
        write(&line)
    }

    /// A note beside the result, for people only.
    pub(crate) fn note(&self, text: &str) {
        if !self.json {
            eprintln!("{text}");
        }
    }

    /// Something that turns while one waits; nothing where nobody watches.
    pub(crate) fn spinner(&self, what: String) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(None, self.draw_target()).with_message(what);
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }

    /// Something that fills; nothing where nobody watches.
    pub(crate) fn progress(&self, what: String, of: u64) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(of), self.draw_target()).with_message(what);
        match ProgressStyle::with_template("{msg} [{bar:40}] {human_pos} of {human_len}, {eta} left") {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }

    fn draw_target(&self) -> ProgressDrawTarget {
        if self.json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() }
    }
}

/// Whether colours are wanted on this stream: on a terminal that has them, unless `NO_COLOR` says not.
pub(crate) fn colourful(stream: &impl IsTerminal) -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    stream.is_terminal() && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

fn write(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // Whoever read it has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => written.map_err(|error| Failure::failed(format!("cannot write the result: {error}"))),
    }
}
