//! Real payloads of GitHub, for the tests of this crate.
//!
//! The whole collection lies outside the repository: in the folder that `KRATE_FIXTURES` names, or in `../shared/fixtures`
//! beside the workspace. Where neither is there, a small part of it that is published with the crate stands in.

#![allow(dead_code, unreachable_pub)] // Each test binary uses a part.

pub mod mutations;
pub mod sites;

use std::fs;
use std::path::{Path, PathBuf};

/// One payload, and the event type that its headers named.
pub struct Payload {
    pub name: String,
    pub event_type: String,
    pub body: Vec<u8>,
}

/// Where payloads come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The whole collection.
    Collection,
    /// The part that is published.
    Published,
}

/// The workspace above the crate whose tests these are; another crate's tests use this module, too.
fn workspace() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = crate_folder.ancestors().skip(1).find(|folder| folder.join("Cargo.lock").is_file());
    root.unwrap_or(&crate_folder.join("..")).to_owned()
}

/// The published part: beside this module, or in the workspace.
fn published_folder() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/github");
    if own.is_dir() { own } else { workspace().join("krate-providers/tests/fixtures/github") }
}

/// GitHub's folder of the whole collection, where it is there; else it is said on standard error.
pub fn collection() -> Option<PathBuf> {
    let root = std::env::var_os("KRATE_FIXTURES").map_or_else(|| workspace().join("../shared/fixtures"), PathBuf::from);
    let folder = root.join("github");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("no fixtures in {} (set KRATE_FIXTURES): only the published part is tested", folder.display());
    None
}

/// Every payload, sorted by name.
pub fn payloads() -> (Origin, Vec<Payload>) {
    match collection() {
        Some(folder) => (Origin::Collection, payloads_in(&folder)),
        None => (Origin::Published, published()),
    }
}

/// The payloads that are published with the crate, sorted by name.
pub fn published() -> Vec<Payload> {
    payloads_in(&published_folder())
}

fn payloads_in(root: &Path) -> Vec<Payload> {
    let mut payloads: Vec<_> = json_files(&root.join("webhooks"))
        .into_iter()
        .map(|(name, body)| Payload { event_type: event_type(&name), name, body })
        .collect();
    payloads.sort_by(|a, b| a.name.cmp(&b.name));
    payloads
}

/// The payload of a name.
pub fn payload(name: &str) -> Option<Payload> {
    payloads().1.into_iter().find(|payload| payload.name == name)
}

/// Every JSON file under `root` that is no golden file, with its path from there.
pub fn json_files(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "json") && !name.ends_with(".golden.json") {
                files.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

/// The event type of a payload: its folder; in the folders of other libraries it follows from the file's name.
fn event_type(name: &str) -> String {
    let (folder, file) = name.split_once('/').unwrap();
    let stem = file.split('.').next().unwrap();
    match folder {
        "drone" | "jenkins-x" => OTHER_LIBRARIES
            .iter()
            .find(|(start, _)| stem.starts_with(start))
            .unwrap_or_else(|| panic!("{name}: which event type?"))
            .1
            .to_owned(),
        "go-playground" => stem.replace('-', "_"),
        event_type => event_type.to_owned(),
    }
}

/// Start of the file's name in `drone` and `jenkins-x`, and the event type that the body's members show. The first that fits counts.
const OTHER_LIBRARIES: &[(&str, &str)] = &[
    ("branch_delete", "delete"),
    ("check_run", "check_run"),
    ("deployment_status", "deployment_status"),
    ("deployment", "deployment"),
    ("installation", "installation"),
    ("issue_comment", "issue_comment"),
    ("label", "label"),
    ("merge_group", "merge_group"),
    ("pipeline_hook", "workflow_run"),
    ("pr_review", "pull_request_review"),
    ("pr_comment", "pull_request_review_comment"),
    ("pr_", "pull_request"),
    ("push", "push"),
    ("release", "release"),
    ("status", "status"),
    ("tag_create", "create"),
];
