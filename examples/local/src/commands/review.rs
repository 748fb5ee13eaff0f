//! `krate review`: what a folder of policy resources says to a request, without a server. Exit code 0 is a yes, 1 a no.

use std::path::{Path, PathBuf};

use krate_policy::decision::Decision;
use krate_policy::explain::explain;
use krate_policy::review::{read, review};
use krate_policy::snapshot::Snapshot;
use serde::Serialize;

use crate::error::{Answer, Error};
use crate::input::{self, Document};
use crate::output::{Format, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of JSON and YAML files: policy resources, and Secrets and ConfigMaps, of which only the names of the keys are read
    #[arg(long, value_name = "DIR")]
    policy: PathBuf,
    /// The request, as JSON or YAML
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// Say it as a person would, with what would change it
    #[arg(long)]
    explain: bool,
}

/// The decision with its digests.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    #[serde(flatten)]
    decision: Decision,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<String>,
    request_digest: krate_model::Digest,
    /// What an approval of it is bound to.
    approval_digest: krate_model::Digest,
    decision_digest: krate_model::Digest,
}

pub(crate) fn run(args: &Args, output: Output) -> Result<Answer, Error> {
    let snapshot = snapshot(&args.policy)?;
    let documents = input::documents(&args.request)?;
    let [document] = documents.as_slice() else {
        return Err(Error::new(format!("{}: holds {} documents, one request is read", name(args), documents.len())));
    };
    let request = read(document.value.to_string().as_bytes())
        .map_err(|reason| Error::new(format!("{}: {}: {}", name(args), reason.code, reason.text)))?;
    let decision = review(&request, &snapshot);
    let no_digest = |error| Error::new(format!("{}: {error}", name(args)));
    let answered = Answered {
        explanation: args.explain.then(|| explain(&request, &decision)),
        request_digest: request.digest().map_err(no_digest)?,
        approval_digest: decision.approval_digest(&request).map_err(no_digest)?,
        decision_digest: decision.digest().map_err(no_digest)?,
        decision,
    };
    let is_allowed = answered.decision.is_allowed();
    output.print(Format::Table, &answered, |answered| match &answered.explanation {
        Some(text) => text.clone(),
        None => short(&answered.decision),
    })?;
    Ok(Answer::yes_if(is_allowed))
}

fn name(args: &Args) -> String {
    input::name(&args.request)
}

fn short(decision: &Decision) -> String {
    let mut text = format!("{:?}\n", decision.outcome);
    for reason in &decision.reasons {
        text += &format!("{}  {}  {}\n", reason.code, reason.name, reason.text);
    }
    text
}

/// The JSON and YAML files of a folder, by name.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |error: std::io::Error| Error::new(format!("{}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The snapshot of a folder, at the highest resource version in it.
pub(super) fn snapshot(folder: &Path) -> Result<Snapshot, Error> {
    let mut snapshot = Snapshot::new(0);
    for file in files(folder)? {
        for Document { file, number, value } in input::documents(&file)? {
            snapshot = snapshot
                .with_document(&value)
                .map_err(|error| Error::new(format!("{file}, document {number}: {error}")))?;
        }
    }
    Ok(snapshot)
}
