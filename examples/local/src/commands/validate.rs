//! `krate validate`: manifests against the rules of their kinds, without a server (R31).

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::SystemTime;

use krate_model::validate::{DEFAULT_PLATFORM_NAMESPACE, Report, Request, View, Writer, validate};
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
    let request = Request::new(Writer::Person, SystemTime::now().into());
    let judged: Vec<Judged> = documents.iter().map(|document| judge(document, &view, &request)).collect();
    let answered = Answered { valid: judged.iter().all(|judged| judged.valid), documents: judged };
    output.print(Format::Table, &answered, for_people)?;
    Ok(Answer::yes_if(answered.valid))
}

fn judge(document: &Document, view: &View, request: &Request) -> Judged {
    let report = validate(&document.value, None, view, request);
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let metadata = |name| text(document.value.get("metadata").and_then(|metadata| metadata.get(name)));
    Judged {
        file: document.file.clone(),
        document: document.number,
        kind: text(document.value.get("kind")),
        namespace: metadata("namespace"),
        name: metadata("name"),
        valid: report.is_valid(),
        report,
    }
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
        let _ = writeln!(
            text,
            "{}, document {}, {} {}: {verdict}",
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
