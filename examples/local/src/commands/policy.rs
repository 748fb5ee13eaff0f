//! `krate policy` and `krate who-can`: somebody's own policies, without a server: whether their cases hold, what is wrong with them, and who may do what.

use std::path::{Path, PathBuf};

use krate_model::Kind;
use krate_model::kinds::shared::Time;
use krate_policy::cases::{CaseResult, Cases};
use krate_policy::lint::{Finding, lint};
use krate_policy::request::Verb;
use krate_policy::snapshot::Key;
use krate_policy::who::{Change, Place, What, Who, if_gone, what_can, who_can};
use serde::Serialize;

use super::review::snapshot;
use crate::error::{Answer, Error};
use crate::input::{self, Document};
use crate::output::{Format, Output, table};

/// How the name of a file of cases ends.
const CASES: [&str; 3] = [".cases.yaml", ".cases.yml", ".cases.json"];
/// The folder beside the files that holds the resources that all of them start from.
const POLICY: &str = "policy";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Run case files: each *.cases.yaml of a folder, on the resources in its folder `policy`; ends with 1 if one doesn't hold
    Test {
        /// The folder
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Only the cases whose name holds this
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
    },
    /// Find what never ends, what can't do anything, and what does more than it should; ends with 1 if there is something
    Lint {
        /// Folder of JSON and YAML files
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Look at it as of this time instead of now
        #[arg(long, value_name = "TIME")]
        at: Option<Time>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct WhoCan {
    /// What is done, such as dispatch; with --subject, leave it out to see everything
    #[arg(required_unless_present_any = ["subject", "without"])]
    verb: Option<String>,
    /// To which kind, such as `AgentStack`
    #[arg(required_unless_present_any = ["subject", "without"])]
    kind: Option<String>,
    /// Folder of JSON and YAML files
    #[arg(long, value_name = "DIR")]
    policy: PathBuf,
    /// The organization; where the folder has one only, that one
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// In this repository: rights on a repository count there only
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
    /// At this full ref
    #[arg(long, value_name = "REF")]
    at_ref: Option<String>,
    /// In this environment
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// From this trigger source, instead of by hand
    #[arg(long, value_name = "SOURCE")]
    source: Option<String>,
    /// Through this agent stack: who may start it, and what it may do for them
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// Everything that this person may do
    #[arg(long, value_name = "NAME", conflicts_with_all = ["verb", "without"])]
    subject: Option<String>,
    /// What would change if this resource went
    #[arg(long, value_name = "KIND/NAME", conflicts_with = "verb")]
    without: Option<String>,
    /// Answer only what this person may know
    #[arg(long = "as", value_name = "NAME")]
    asker: Option<String>,
}

/// What a folder's cases came to.
#[derive(Debug, Serialize)]
struct Tested {
    files: Vec<TestedFile>,
    passed: usize,
    failed: usize,
}

#[derive(Debug, Serialize)]
struct TestedFile {
    file: String,
    results: Vec<CaseResult>,
}

pub(crate) fn run(command: &Command, output: Output) -> Result<Answer, Error> {
    match command {
        Command::Test { folder, only } => test(folder, only.as_deref(), output),
        Command::Lint { folder, at } => {
            let now = at.unwrap_or_else(crate::serve::now);
            let found = lint(&snapshot(folder)?, now);
            output.print(Format::Table, &found, |found| linted(found))?;
            Ok(Answer::yes_if(found.is_empty()))
        }
    }
}

fn test(folder: &Path, only: Option<&str>, output: Output) -> Result<Answer, Error> {
    let unreadable = |error: std::io::Error| Error::new(format!("{}: {error}", folder.display()));
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if CASES.iter().any(|end| name.ends_with(end)) {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        return Err(Error::new(format!("{}: holds no file that ends with {}", folder.display(), CASES.join(", "))));
    }
    let shared = folder.join(POLICY);
    let policy = if shared.is_dir() { resources(&shared)? } else { Vec::new() };
    let mut files = Vec::new();
    for path in &paths {
        let documents = input::documents(path)?;
        let [document] = documents.as_slice() else {
            let count = documents.len();
            return Err(Error::new(format!("{}: holds {count} documents, one is read", path.display())));
        };
        let policy = policy.iter().map(|document| document.value.clone());
        let cases =
            Cases::read(&document.value, policy).map_err(|error| Error::new(format!("{}: {error}", path.display())))?;
        let mut results = cases.run();
        results.retain(|result| only.is_none_or(|only| result.name.contains(only)));
        files.push(TestedFile { file: path.display().to_string(), results });
    }
    let all = || files.iter().flat_map(|file| &file.results);
    let failed = all().filter(|result| result.wrong.is_some()).count();
    let passed = all().count().saturating_sub(failed);
    if passed == 0 && failed == 0 {
        return Err(Error::new(format!("{}: no case is named so", folder.display())));
    }
    let tested = Tested { files, passed, failed };
    output.print(Format::Table, &tested, told)?;
    Ok(Answer::yes_if(failed == 0))
}

fn told(tested: &Tested) -> String {
    let mut text = String::new();
    for file in &tested.files {
        for result in &file.results {
            if let Some(wrong) = &result.wrong {
                text += &format!("FAILED {}: {}: {wrong}\n", file.file, result.name);
                for line in result.explanation.lines() {
                    text += &format!("    {line}\n");
                }
            }
        }
    }
    text + &format!("{} passed, {} failed\n", tested.passed, tested.failed)
}

fn linted(found: &[Finding]) -> String {
    if found.is_empty() {
        return "nothing found\n".to_owned();
    }
    let row = |it: &Finding| [it.name.clone(), it.field.clone(), it.rule.to_string(), it.text.clone()];
    table(["Resource", "Field", "Rule", "What"], found.iter().map(row))
}

/// The documents of every file of a folder.
fn resources(folder: &Path) -> Result<Vec<Document>, Error> {
    let mut all = Vec::new();
    for file in super::review::files(folder)? {
        all.extend(input::documents(&file)?);
    }
    Ok(all)
}

pub(crate) fn who(args: &WhoCan, output: Output) -> Result<Answer, Error> {
    let snapshot = snapshot(&args.policy)?;
    let mut all = snapshot.organizations();
    let organization = match (&args.organization, all.next(), all.next()) {
        (Some(name), ..) => name.clone(),
        (None, Some(only), None) => only.to_owned(),
        (None, None, _) => return Err(Error::new(format!("{}: holds no organization", args.policy.display()))),
        _ => return Err(Error::new("the folder holds several organizations: name one with --organization")),
    };
    let mut place = Place::new(organization, crate::serve::now());
    place.repository = args.repository.as_deref().map(Into::into);
    place.git_ref = args.at_ref.as_deref().map(Into::into);
    place.environment = args.environment.as_deref().map(Into::into);
    place.trigger_source = args.source.as_deref().map(Into::into);
    place.stack = args.stack.as_deref().map(Into::into);
    let asker = args.asker.as_deref();
    if let Some(name) = &args.without {
        let key = find(name, &resources(&args.policy)?)?;
        let changes = if_gone(&snapshot, &place, &key, asker);
        output.print(Format::Table, &changes, |changes| {
            let row = |it: &Change| {
                let named = |name: &Option<Box<str>>| name.as_deref().unwrap_or("-").to_owned();
                let place = [&it.repository, &it.git_ref, &it.environment, &it.trigger_source];
                let place: Vec<&str> = place.into_iter().filter_map(Option::as_deref).collect();
                [
                    it.person.to_string(),
                    named(&it.stack),
                    it.verb.to_string(),
                    it.kind.to_string(),
                    place.join(" "),
                    format!("{:?}", it.before),
                    format!("{:?}", it.after),
                ]
            };
            if changes.is_empty() {
                "nobody's rights change\n".to_owned()
            } else {
                table(["Who", "Stack", "Verb", "Kind", "Where", "Now", "Then"], changes.iter().map(row))
            }
        })?;
        return Ok(Answer::yes_if(changes.is_empty()));
    }
    if let Some(subject) = &args.subject {
        let found = what_can(&snapshot, &place, subject, asker);
        output.print(Format::Table, &found, |found| {
            let row = |it: &What| {
                [
                    it.verb.to_string(),
                    it.kind.to_string(),
                    format!("{:?}", it.outcome),
                    it.by.as_deref().unwrap_or_default().to_owned(),
                ]
            };
            table(["Verb", "Kind", "Answer", "By"], found.iter().map(row))
        })?;
        return Ok(Answer::yes_if(!found.is_empty()));
    }
    let verb = Verb::from_text(args.verb.as_deref().unwrap_or_default());
    if !krate_model::ClosedSet::is_known(&verb) {
        let accepted: Vec<&str> = Verb::ALL.iter().map(Verb::as_str).collect();
        return Err(Error::new(format!("{verb} is no verb; {} are", accepted.join(", "))));
    }
    let kind = super::explain::kind_named(args.kind.as_deref().unwrap_or_default())?;
    let found = who_can(&snapshot, &place, &verb, kind, asker);
    output.print(Format::Table, &found, |found| {
        let row = |it: &Who| {
            [it.person.to_string(), format!("{:?}", it.outcome), it.by.as_deref().unwrap_or_default().to_owned()]
        };
        if found.is_empty() {
            format!("nobody may {verb} {kind}\n")
        } else {
            table(["Who", "Answer", "By"], found.iter().map(row))
        }
    })?;
    Ok(Answer::yes_if(!found.is_empty()))
}

/// The key of `Kind/name` among documents.
fn find(named: &str, documents: &[Document]) -> Result<Key, Error> {
    let (kind, name) = named.split_once('/').ok_or_else(|| Error::new(format!("{named} is no KIND/NAME")))?;
    let kind: Kind = super::explain::kind_named(kind)?;
    let text = |document: &Document, pointer: &str| {
        document.value.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    };
    let found = documents.iter().find(|it| text(it, "/kind") == kind.as_str() && text(it, "/metadata/name") == name);
    let found = found.ok_or_else(|| Error::new(format!("{named} isn't in the folder")))?;
    Ok(Key { kind, namespace: text(found, "/metadata/namespace").into(), name: name.into() })
}
