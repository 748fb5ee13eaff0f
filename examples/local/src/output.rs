//! How answers are printed: for people, or as JSON or YAML with the spec's field names. Colour only on a terminal.

use std::io::Write;

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::error::Error;

/// A form of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For programs
    Json,
    /// For files
    Yaml,
    /// For people
    Table,
}

/// Where answers go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    asked: Option<Format>,
}

impl Output {
    pub(crate) const fn new(asked: Option<Format>) -> Self {
        Self { asked }
    }

    /// The form that was asked for, or what this command prints by itself.
    pub(crate) fn format_or(self, default: Format) -> Format {
        self.asked.unwrap_or(default)
    }

    /// Prints `value`, for people as `table` says it.
    pub(crate) fn print<T: Serialize + ?Sized>(
        self,
        default: Format,
        value: &T,
        table: impl FnOnce(&T) -> String,
    ) -> Result<(), Error> {
        match self.format_or(default) {
            Format::Json => line(&json(value)?),
            Format::Yaml => text(&yaml(value)?),
            Format::Table => line(&table(value)),
        }
    }
}

/// Pretty JSON.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    serde_json::to_string_pretty(value).map_err(|error| Error::new(format!("the answer as JSON: {error}")))
}

/// YAML, by way of JSON, so that both have the same fields.
pub(crate) fn yaml<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    let value = serde_json::to_value(value).map_err(|error| Error::new(format!("the answer as JSON: {error}")))?;
    serde_saphyr::to_string(&value).map_err(|error| Error::new(format!("the answer as YAML: {error}")))
}

/// Prints a text and ends its line.
pub(crate) fn line(text: &str) -> Result<(), Error> {
    writeln!(anstream::stdout().lock(), "{}", text.trim_end())?;
    Ok(())
}

/// Prints a text as it is.
pub(crate) fn text(text: &str) -> Result<(), Error> {
    write!(anstream::stdout().lock(), "{text}")?;
    Ok(())
}

/// Says something beside the answer, on standard error.
pub(crate) fn note(text: &str) {
    // A note that nobody can read is no reason to fail.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// A table without lines, as wide as the terminal; where there is none, as wide as it needs.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    columns(&header.map(str::to_owned), rows.into_iter().map(Vec::from).collect())
}

/// The same for columns that are only known when it runs.
pub(crate) fn columns(header: &[String], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.iter().map(|name| name.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
