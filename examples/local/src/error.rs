//! How a command ends: 0 all is well, 1 the answer is no, 2 the input or the call is wrong.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};

/// What a command that could do its work found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// All is well.
    Yes,
    /// Invalid, refused, in conflict: the command has said why.
    No,
}

impl Answer {
    /// Yes, where `holds`.
    pub(crate) fn yes_if(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

impl From<Answer> for ExitCode {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Yes => Self::SUCCESS,
            Answer::No => Self::from(1),
        }
    }
}

/// Why a command could not do its work.
#[derive(Debug)]
pub(crate) struct Error {
    what: String,
    hint: Option<String>,
    is_closed_pipe: bool,
}

impl Error {
    /// An error; `what` names the file or the argument, and the path in it.
    pub(crate) fn new(what: impl fmt::Display) -> Self {
        Self { what: what.to_string(), hint: None, is_closed_pipe: false }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Says it on standard error.
    pub(crate) fn report(self) -> ExitCode {
        if self.is_closed_pipe {
            // Whoever read the output has seen enough (`krate crds | head`).
            return ExitCode::SUCCESS;
        }
        let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
        let bold = Style::new().bold();
        let mut stderr = anstream::stderr().lock();
        // Nobody is left to tell where standard error is gone.
        let _ = writeln!(stderr, "{red}error:{red:#} {}", self.what);
        if let Some(hint) = self.hint {
            let _ = writeln!(stderr, " {bold}hint:{bold:#} {hint}");
        }
        ExitCode::from(2)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        let is_closed_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        Self { is_closed_pipe, ..Self::new(format!("standard output: {error}")) }
    }
}
