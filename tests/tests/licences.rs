//! Every crate that is built into krate, or builds or tests it, has a licence from the list in `deny.toml`.

use std::fs;

use krate_tests::spdx::Licence;
use krate_tests::workspace::{Metadata, root};

/// The list, read from where cargo-deny reads it, so that there is only one.
fn allowed() -> Vec<String> {
    let text = fs::read_to_string(root().join("deny.toml")).unwrap();
    let (_, after) = text.split_once("\nallow = [").expect("deny.toml has [licenses] allow");
    let (list, _) = after.split_once("\n]").expect("the list ends");
    list.lines()
        .filter_map(|line| line.trim().trim_end_matches(',').strip_prefix('"')?.strip_suffix('"'))
        .map(Into::into)
        .collect()
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let allowed = allowed();
    assert!(allowed.len() > 5 && allowed.contains(&"MIT".to_owned()), "the list was not read: {allowed:?}");
    let metadata = Metadata::read();
    assert!(metadata.packages.len() > 50, "the graph was not read: {} packages", metadata.packages.len());
    let problems: Vec<String> = metadata
        .packages
        .iter()
        .filter_map(|package| {
            let (name, version) = (&package.name, &package.version);
            let Some(text) = &package.license else { return Some(format!("{name} {version}: states no licence")) };
            match Licence::parse(text) {
                Ok(licence) if licence.is_met_by(&allowed) => None,
                Ok(_) => Some(format!("{name} {version}: {text}")),
                Err(error) => Some(format!("{name} {version}: {error}")),
            }
        })
        .collect();
    assert!(problems.is_empty(), "not allowed by deny.toml:\n{}", problems.join("\n"));
}

#[test]
fn both_licences_of_krate_are_there_and_named_by_every_member() {
    for file in ["LICENSE-MIT", "LICENSE-APACHE"] {
        assert!(fs::read_to_string(root().join(file)).unwrap().len() > 1_000, "{file} is not the whole text");
    }
    for (name, package) in Metadata::read().members() {
        assert_eq!(package.license.as_deref(), Some("MIT OR Apache-2.0"), "{name}");
    }
}
