//! `krate validate`: manifests against the rules of their kinds, without a server (R31).

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::SystemTime;

use clap::ValueEnum;
use krate_model::kinds::shared::Time;
use krate_model::validate::{DEFAULT_PLATFORM_NAMESPACE, Report, Request, View, Writer, commands, maker, validate};
use krate_model::{API_VERSION, Kind};
use krate_providers::registry::providers;
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::{Answer, Error};
use crate::input::{self, Document};
use crate::output::{Format, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// JSON or YAML files, with any number of documents; repeat it for more
    #[arg(short, long = "file", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Who writes the documents (R19); without it, each is judged as made by a person, and Records that people don't make (deliveries, events,
    /// intents, approvals …) as made by their controller
    #[arg(long = "as", value_name = "WRITER")]
    writer: Option<Who>,
}

/// Who writes, as people say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Who {
    /// A person, by whatever client
    Person,
    /// A controller of krate: what came from a provider, such as an issue that was printed by `krate get`
    Controller,
}

impl Who {
    /// Who makes such a document, where nobody says it: a file doesn't.
    fn made(document: &Value) -> Self {
        match maker(document) {
            Writer::Controller => Self::Controller,
            Writer::Person | Writer::Agent => Self::Person,
        }
    }

    const fn writer(self) -> Writer {
        match self {
            Self::Person => Writer::Person,
            Self::Controller => Writer::Controller,
        }
    }
}

/// The answer to all files.
#[derive(Debug, Serialize)]
struct Answered {
    valid: bool,
    documents: Vec<Judged>,
}

/// The answer to one document.
#[derive(Debug, Serialize)]
struct Judged {
    file: String,
    document: usize,
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    #[serde(rename = "as")]
    writer: Who,
    valid: bool,
    #[serde(flatten)]
    report: Report,
}

pub(crate) fn run(args: &Args, output: Output) -> Result<Answer, Error> {
    input::at_most_one_stdin(&args.files)?;
    let mut documents = Vec::new();
    for file in &args.files {
        documents.extend(input::documents(file)?);
    }
    let given = documents.iter().map(|document| document.value.clone());
    // Without a server nobody knows what else there is: what can't be looked up is named, not guessed.
    let view = View::partial(built_in_manifests().into_iter().chain(given));
    let now = SystemTime::now().into();
    let judged: Vec<Judged> = documents.iter().map(|document| judge(document, args.writer, &view, now)).collect();
    let answered = Answered { valid: judged.iter().all(|judged| judged.valid), documents: judged };
    output.print(Format::Table, &answered, for_people)?;
    Ok(Answer::yes_if(answered.valid))
}

fn judge(document: &Document, writer: Option<Who>, view: &View, now: Time) -> Judged {
    let writer = writer.unwrap_or_else(|| Who::made(&document.value));
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let metadata = |name| text(document.value.get("metadata").and_then(|metadata| metadata.get(name)));
    let report = match writer {
        Who::Person => validate(&document.value, None, view, &Request::new(writer.writer(), now)),
        Who::Controller => made_by_controller(&document.value, view, now),
    };
    Judged {
        file: document.file.clone(),
        document: document.number,
        kind: text(document.value.get("kind")),
        namespace: metadata("namespace"),
        name: metadata("name"),
        writer,
        valid: report.is_valid(),
        report,
    }
}

/// A stored Record holds two writes: its controller's, and the commands that a person gave later (R37). Each is judged as what it is.
fn made_by_controller(document: &Value, view: &View, now: Time) -> Report {
    let kind = document.get("kind").and_then(Value::as_str).and_then(|kind| kind.parse::<Kind>().ok());
    let given = |field: &&str| document.get("spec").is_some_and(|spec| spec.get(field).is_some());
    let commands: Vec<&str> = kind.into_iter().flat_map(commands).map(|command| command.field).filter(given).collect();
    let mut made = document.clone();
    if let Some(spec) = made.get_mut("spec").and_then(Value::as_object_mut) {
        spec.retain(|field, _| !commands.contains(&field.as_str()));
    }
    let mut report = validate(&made, None, view, &Request::new(Writer::Controller, now));
    if !commands.is_empty() {
        let commanded = validate(document, Some(&made), view, &Request::new(Writer::Person, now));
        let is_of_command = |path: &str| {
            let field = path.strip_prefix("spec.").and_then(|rest| rest.split(['.', '[']).next());
            field.is_some_and(|field| commands.contains(&field))
        };
        report.failures.extend(commanded.failures.into_iter().filter(|failure| is_of_command(&failure.path)));
        report.unresolved.extend(commanded.unresolved.into_iter().filter(|waiting| is_of_command(&waiting.path)));
        report.unchecked.extend(commanded.unchecked.into_iter().filter(|unchecked| is_of_command(&unchecked.path)));
        // R29: by path, then rule.
        report.failures.sort_by(|one, other| (&one.path, one.rule).cmp(&(&other.path, other.rule)));
    }
    report
}

/// The manifests of this build, as they stand in the platform's namespace.
pub(crate) fn built_in_manifests() -> Vec<Value> {
    let manifest = |provider: &&dyn krate_providers::contract::Provider| {
        json!({
            "apiVersion": API_VERSION,
            "kind": Kind::ExternalProviderCapabilityManifest.as_str(),
            "metadata": {"name": provider.provider_type(), "namespace": DEFAULT_PLATFORM_NAMESPACE},
            "spec": provider.manifest(),
        })
    };
    providers().iter().map(manifest).collect()
}

fn for_people(answered: &Answered) -> String {
    let mut text = String::new();
    for judged in &answered.documents {
        let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
        let verdict = if judged.valid { "valid" } else { "INVALID" };
        let made = if judged.writer == Who::Controller { ", as made by a controller" } else { "" };
        let _ = writeln!(
            text,
            "{}, document {}, {} {}: {verdict}{made}",
            judged.file,
            judged.document,
            or_unknown(&judged.kind),
            or_unknown(&judged.name)
        );
        for failure in &judged.report.failures {
            let _ = writeln!(text, "  {failure}");
        }
        for waiting in &judged.report.unresolved {
            let _ = writeln!(text, "  {}: waits for {} {}", waiting.path, waiting.kind, waiting.name);
        }
        for unchecked in &judged.report.unchecked {
            let _ = writeln!(text, "  {}: not checked, {} ({})", unchecked.path, unchecked.reason, unchecked.rule);
        }
    }
    let rules: std::collections::BTreeSet<_> =
        answered.documents.iter().flat_map(|judged| &judged.report.failures).map(|failure| failure.rule).collect();
    for rule in rules {
        let _ = writeln!(text, "{rule}: {}", rule.sentence());
    }
    text
}
