//! The definitions against the registry, the rules of structural schemas and the committed files.

use std::path::{Path, PathBuf};

use krate_model::crd::{CustomResourceDefinition, crd, crds};
use krate_model::kinds::defined::DEFINED;
use krate_model::{GROUP, Kind, Priority, VERSION};
use serde_json::Value;

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crds")
}

fn yaml(crd: &CustomResourceDefinition) -> String {
    serde_saphyr::to_string(crd).unwrap()
}

/// `KRATE_UPDATE=1 cargo test` writes the files anew.
#[test]
fn r69_the_committed_definitions_are_what_the_source_makes() {
    let update = std::env::var_os("KRATE_UPDATE").is_some();
    let mut expected = Vec::new();
    for definition in crds() {
        let name = format!("{}.yaml", definition.spec.names.plural);
        let path = committed().join(&name);
        let made = yaml(&definition);
        assert_eq!(
            made,
            yaml(&crd(definition.spec.names.kind.parse().unwrap()).unwrap()),
            "{name} is made differently each time"
        );
        if update {
            std::fs::write(&path, &made).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == made, "crds/{name} is not what the source makes; run the tests with KRATE_UPDATE=1");
        let read: Value = serde_saphyr::from_str(&made).unwrap();
        assert_eq!(read, serde_json::to_value(&definition).unwrap(), "{name} is read back as another document");
        expected.push(name);
    }
    expected.sort();
    let mut found: Vec<_> = std::fs::read_dir(committed())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn every_core_kind_is_defined_in_the_order_of_the_registry() {
    let defined: Vec<Kind> = DEFINED.iter().map(|defined| defined.kind).collect();
    assert!(defined.is_sorted());
    let core = Kind::ALL.iter().filter(|kind| kind.info().priority == Priority::Core);
    assert_eq!(core.filter(|kind| !defined.contains(kind)).count(), 0, "a core kind is not defined");
}

#[test]
fn r25_names_scope_and_categories_are_those_of_the_registry() {
    for (definition, defined) in crds().iter().zip(DEFINED) {
        let info = defined.kind.info();
        let names = &definition.spec.names;
        assert_eq!(definition.metadata.name.as_deref(), Some(format!("{}.{GROUP}", info.plural).as_str()));
        assert_eq!((definition.spec.group.as_str(), definition.spec.scope.as_str()), (GROUP, "Namespaced"));
        assert_eq!((names.kind.as_str(), names.plural.as_str()), (info.name, info.plural));
        assert_eq!(names.singular.as_deref(), Some(info.name.to_lowercase().as_str()));
        assert_eq!(names.short_names.as_deref(), info.short.map(|short| vec![short.to_owned()]).as_deref(), "{info:?}");
        assert_eq!(names.categories, Some(vec!["krate".into(), info.context.category().into()]));
        let [version] = definition.spec.versions.as_slice() else { panic!("{} has one version", info.name) };
        assert_eq!((version.name.as_str(), version.served, version.storage), (VERSION, true, true));
        assert!(version.subresources.as_ref().is_some_and(|sub| sub.status.is_some()), "{} has no status", info.name);
        assert!(version.schema.as_ref().is_some_and(|schema| schema.open_api_v3_schema.is_some()), "{}", info.name);
    }
}
