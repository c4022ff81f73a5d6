//! Tells a case as it happens, with the time of each step.

use std::{
    io::{self, Write},
    time::Instant,
};

use haetae_tests::case::Tell;
use owo_colors::{OwoColorize, Stream};

/// Where the narration goes: standard output, or standard error where that is kept for one line of JSON.
pub(crate) struct Narrator {
    began: Instant,
    stream: Stream,
}

impl Narrator {
    /// Begins to count now.
    pub(crate) fn new(to_stderr: bool) -> Self {
        Self { began: Instant::now(), stream: if to_stderr { Stream::Stderr } else { Stream::Stdout } }
    }

    fn line(&self, text: &str) {
        // A reader who has gone away is no reason to stop the case.
        let _ = match self.stream {
            Stream::Stdout => writeln!(io::stdout(), "{text}"),
            Stream::Stderr => writeln!(io::stderr(), "{text}"),
        };
    }
}

impl Tell for Narrator {
    fn act(&mut self, title: &str) {
        let title = title.if_supports_color(self.stream, |text| text.bold()).to_string();
        self.line(&format!("\n{title}"));
    }

    fn step(&mut self, text: &str) {
        let time = format!("{:6.1} s", self.began.elapsed().as_secs_f64());
        let time = time.if_supports_color(self.stream, |text| text.dimmed()).to_string();
        self.line(&format!("{time}  {text}"));
    }
}
