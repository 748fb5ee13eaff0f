//! The workspace as cargo sees it: packages, features and edges, read offline.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// The crates that embedders use, which must stay pure.
pub const LIBRARIES: [&str; 5] = ["krate-model", "krate-policy", "krate-providers", "krate-sync", "krate-agents"];

/// What `cargo metadata` says, as far as the tests ask.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// All packages of the resolved graph.
    pub packages: Vec<Package>,
    /// The graph itself.
    pub resolve: Resolve,
    /// Ids of our own packages.
    pub workspace_members: Vec<String>,
}

/// One package.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// Unique in this graph.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its SPDX expression.
    pub license: Option<String>,
    /// Where its manifest stands.
    pub manifest_path: PathBuf,
}

/// The resolved graph.
#[derive(Debug, Deserialize)]
pub struct Resolve {
    /// One entry per package.
    pub nodes: Vec<Node>,
}

/// One package's edges.
#[derive(Debug, Deserialize)]
pub struct Node {
    /// The package.
    pub id: String,
    /// What it depends on.
    pub deps: Vec<Dep>,
}

/// One edge.
#[derive(Debug, Deserialize)]
pub struct Dep {
    /// The package depended on.
    pub pkg: String,
    /// In which ways.
    pub dep_kinds: Vec<DepKind>,
}

/// A way of depending: `None` is a normal dependency, else `dev` or `build`.
#[derive(Debug, Deserialize)]
pub struct DepKind {
    /// The way.
    pub kind: Option<String>,
}

/// The root of the workspace.
///
/// # Panics
/// Where this crate doesn't stand in a workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ stands in the workspace")
}

/// The cargo that runs these tests.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// The platform that the tests were built on.
///
/// # Panics
/// Where `rustc` doesn't run.
pub fn host() -> String {
    let out = rustc().arg("-vV").output().expect("rustc runs");
    let text = String::from_utf8(out.stdout).expect("rustc prints text");
    text.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host").to_owned()
}

/// The compiler of the cargo that runs these tests.
pub fn rustc() -> Command {
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command.current_dir(root());
    command
}

impl Metadata {
    /// Reads the graph for the host platform, without the network: what was needed to build these tests is there.
    ///
    /// Features are those of the whole workspace together, so a library's graph here is never smaller than the one its users get.
    ///
    /// # Panics
    /// Where cargo doesn't answer.
    pub fn read() -> Self {
        let out = cargo()
            .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &host()])
            .output()
            .expect("cargo runs");
        assert!(out.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice(&out.stdout).expect("cargo metadata prints JSON")
    }

    /// The package with this id.
    ///
    /// # Panics
    /// Where the graph has none.
    pub fn package(&self, id: &str) -> &Package {
        self.packages.iter().find(|package| package.id == id).expect("every edge ends at a package")
    }

    /// Our own packages, by name.
    pub fn members(&self) -> BTreeMap<&str, &Package> {
        self.workspace_members.iter().map(|id| self.package(id)).map(|package| (&*package.name, package)).collect()
    }

    /// What `id` depends on directly, in the ways that `wanted` accepts.
    pub fn direct(&self, id: &str, wanted: impl Fn(Option<&str>) -> bool) -> BTreeSet<&str> {
        let node = self.resolve.nodes.iter().find(|node| node.id == id);
        node.into_iter()
            .flat_map(|node| &node.deps)
            .filter(|dep| dep.dep_kinds.iter().any(|kind| wanted(kind.kind.as_deref())))
            .map(|dep| &*dep.pkg)
            .collect()
    }

    /// Everything that is linked into what uses `id`: normal dependencies, to the end. Each with the way to it.
    pub fn linked(&self, id: &str) -> BTreeMap<&str, Vec<&str>> {
        let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut open: Vec<(&str, Vec<&str>)> =
            self.direct(id, |kind| kind.is_none()).into_iter().map(|dep| (dep, Vec::new())).collect();
        while let Some((next, mut way)) = open.pop() {
            if found.contains_key(next) {
                continue;
            }
            way.push(&self.package(next).name);
            open.extend(self.direct(next, |kind| kind.is_none()).into_iter().map(|dep| (dep, way.clone())));
            found.insert(next, way);
        }
        found
    }
}
