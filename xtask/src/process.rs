//! Running programs and keeping what they say.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// How a program ended.
pub(crate) struct Ended {
    pub(crate) ok: bool,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Result<Ended> {
    let shown = format!("{command:?}");
    let ended = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {shown:.300}"))?;
    Ok(Ended {
        ok: ended.status.success(),
        code: ended.status.code(),
        stdout: String::from_utf8_lossy(&ended.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&ended.stderr).into_owned(),
    })
}

impl Ended {
    /// Everything it said, on one line.
    pub(crate) fn said(&self) -> String {
        let words: Vec<_> = self.stdout.split_whitespace().chain(self.stderr.split_whitespace()).collect();
        words.join(" ")
    }

    /// What it said in lines that hold a word.
    pub(crate) fn lines_with<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a str> {
        self.stdout.lines().chain(self.stderr.lines()).filter(move |line| line.contains(word))
    }
}
