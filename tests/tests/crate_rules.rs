//! The rules of the crate graph: which crate may know which, and what a library crate must never pull in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use krate_tests::workspace::{LIBRARIES, Metadata, cargo, root, rustc};

/// The graph as `docs/architecture.md` draws it: what each library crate may depend on.
const EDGES: [(&str, &[&str]); 5] = [
    ("krate-model", &[]),
    ("krate-policy", &["krate-model"]),
    ("krate-providers", &["krate-model"]),
    ("krate-sync", &["krate-model", "krate-policy", "krate-providers"]),
    ("krate-agents", &["krate-model", "krate-policy"]),
];

/// What no library crate may link, and what it would bring.
const REFUSED: [(&str, &[&str]); 4] = [
    (
        "an async runtime",
        &[
            "tokio",
            "async-std",
            "async-executor",
            "async-global-executor",
            "async-io",
            "compio",
            "embassy-executor",
            "futures-executor",
            "glommio",
            "mio",
            "monoio",
            "smol",
        ],
    ),
    (
        "TLS",
        &[
            "aws-lc-rs",
            "boring",
            "native-tls",
            "openssl",
            "openssl-sys",
            "ring",
            "rustls",
            "s2n-tls",
            "schannel",
            "security-framework",
        ],
    ),
    (
        "an HTTP client or server",
        &[
            "attohttpc",
            "awc",
            "axum",
            "curl",
            "h2",
            "hyper",
            "hyper-util",
            "isahc",
            "kube-client",
            "kube-runtime",
            "minreq",
            "octocrab",
            "reqwest",
            "tonic",
            "ureq",
            "warp",
        ],
    ),
    (
        "a database",
        &[
            "diesel",
            "fjall",
            "heed",
            "libsqlite3-sys",
            "mongodb",
            "mysql",
            "postgres",
            "redb",
            "redis",
            "rocksdb",
            "rusqlite",
            "sled",
            "sqlx",
            "sqlx-core",
            "tokio-postgres",
        ],
    ),
];

/// The names of our own packages that `name` depends on, in the ways that `wanted` accepts.
fn own<'a>(metadata: &'a Metadata, name: &str, wanted: impl Fn(Option<&str>) -> bool) -> BTreeSet<&'a str> {
    let members = metadata.members();
    metadata
        .direct(&members[name].id, wanted)
        .into_iter()
        .map(|id| &*metadata.package(id).name)
        .filter(|dep| members.contains_key(dep))
        .collect()
}

#[test]
fn library_crates_know_only_the_crates_that_the_design_draws() {
    let metadata = Metadata::read();
    for (name, allowed) in EDGES {
        let found = own(&metadata, name, |kind| kind != Some("dev"));
        let extra: Vec<_> = found.iter().filter(|dep| !allowed.contains(dep)).collect();
        assert!(extra.is_empty(), "{name} depends on {extra:?}; the design allows {allowed:?}");
    }
}

#[test]
fn no_crate_of_ours_is_below_itself() {
    // Cargo refuses a cycle of normal dependencies; one that closes over dev-dependencies it lets pass.
    let metadata = Metadata::read();
    let mut left: BTreeMap<&str, BTreeSet<&str>> =
        metadata.members().into_keys().map(|name| (name, own(&metadata, name, |_| true))).collect();
    while !left.is_empty() {
        let free: Vec<&str> = left.iter().filter(|(_, deps)| deps.is_empty()).map(|(name, _)| *name).collect();
        assert!(!free.is_empty(), "a cycle among {left:?}");
        left.retain(|name, _| !free.contains(name));
        for deps in left.values_mut() {
            deps.retain(|dep| !free.contains(dep));
        }
    }
}

#[test]
fn library_crates_link_no_runtime_no_tls_no_http_and_no_database() {
    let metadata = Metadata::read();
    let members = metadata.members();
    let mut problems = Vec::new();
    for name in LIBRARIES {
        let linked = metadata.linked(&members[name].id);
        for (id, way) in &linked {
            let dep = &*metadata.package(id).name;
            for (what, _) in REFUSED.iter().filter(|(_, names)| names.contains(&dep)) {
                problems.push(format!("{name} links {what}: {}", way.join(" > ")));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let everything = metadata.linked(&members["krate-sync"].id);
    assert!(everything.len() > 20, "krate-sync's graph was not read: {} crates", everything.len());
}

#[test]
fn unsafe_code_is_forbidden_in_every_member() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("\nunsafe_code = \"forbid\"\n"), "[workspace.lints.rust] no longer forbids unsafe code");
    for (name, package) in Metadata::read().members() {
        let manifest = fs::read_to_string(&package.manifest_path).unwrap();
        assert!(manifest.contains("\n[lints]\nworkspace = true\n"), "{name} does not take the workspace's lints");
    }
}

/// A target whose programs have no threads and no sockets.
const NO_THREADS: &str = "wasm32-unknown-unknown";

#[test]
fn library_crates_compile_for_a_target_without_threads() {
    let out = rustc().args(["--print", "target-libdir", "--target", NO_THREADS]).output().unwrap();
    let libdir = String::from_utf8(out.stdout).unwrap();
    if !out.status.success() || !std::path::Path::new(libdir.trim()).is_dir() {
        // docs/limits.md says so as well.
        println!("not checked: this tool-chain has no {NO_THREADS}; `rustup target add {NO_THREADS}` turns it on");
        return;
    }
    // A target directory of its own: the one that these tests were built in may be locked by the cargo that runs them.
    let target_dir = root().join("target").join("no-threads");
    let mut check = cargo();
    check.args(["check", "--locked", "--offline", "--target", NO_THREADS, "--target-dir"]).arg(target_dir);
    for name in LIBRARIES {
        check.args(["-p", name]);
    }
    let out = check.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn the_documentation_lists_every_page() {
    let docs = root().join("docs");
    let list = fs::read_to_string(docs.join("README.md")).expect("docs/README.md");
    let pages = fs::read_dir(&docs).expect("docs").map(|page| page.expect("a page").file_name());
    for page in pages.map(|page| page.to_string_lossy().into_owned()).filter(|page| page != "README.md") {
        assert!(list.contains(&format!("]({page})")), "docs/README.md doesn't list {page}");
    }
}
