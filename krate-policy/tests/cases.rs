//! The case files of this folder, through the same reader as `krate policy test`.
#![allow(missing_docs)]

use std::path::Path;

use krate_policy::cases::{CaseResult, Cases, CasesError};
use krate_policy::snapshot::Snapshot;
use serde_json::{Value, json};

fn yaml(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(file);
    let text = std::fs::read_to_string(&path).expect("a file");
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn run(file: &str) -> Vec<CaseResult> {
    let document = yaml(file).pop().expect("one document");
    Cases::read(&document, yaml("policy/acme.yaml")).unwrap_or_else(|error| panic!("{file}: {error}")).run()
}

fn all_hold(results: &[CaseResult]) {
    let wrong: Vec<_> = results.iter().filter(|result| result.wrong.is_some()).collect();
    let told: Vec<String> =
        wrong.iter().map(|it| format!("{}: {}", it.name, it.wrong.as_deref().unwrap_or_default())).collect();
    assert!(wrong.is_empty(), "{} of {} cases don't hold:\n{}", wrong.len(), results.len(), told.join("\n"));
}

#[test]
fn p1_every_case_of_the_specification_about_persons_holds() {
    let results = run("specification.cases.yaml");
    assert!(results.len() >= 70, "{}", results.len());
    all_hold(&results);
}

#[test]
fn p25_p26_p51_every_case_of_the_specification_about_agents_holds() {
    let results = run("agents.cases.yaml");
    assert!(results.len() >= 60, "{}", results.len());
    all_hold(&results);
}

#[test]
fn p4_p11_p56_the_rest_of_the_table_holds() {
    let results = run("rest.cases.yaml");
    assert!(results.len() >= 29, "{}", results.len());
    all_hold(&results);
}

#[test]
fn p41_every_case_of_the_specification_about_writes_holds() {
    let results = run("writes.cases.yaml");
    assert!(results.len() >= 20, "{}", results.len());
    all_hold(&results);
}

#[test]
fn p62_no_attack_of_the_corpus_is_a_yes() {
    let results = run("attacks.cases.yaml");
    assert!(results.len() >= 300, "{}", results.len());
    all_hold(&results);
    for attack in &results {
        let is_honest = attack.name.ends_with("the honest one is a yes");
        assert_eq!(attack.found.starts_with("Allowed"), is_honest, "{}: {}", attack.name, attack.found);
        assert!(!attack.explanation.is_empty(), "{}", attack.name);
    }
}

/// How many situations each row of the specification's table has, from row 1 on: they are named `12a`, `12b` and so on, or `12` where there is one only.
const SITUATIONS: [u8; 71] = [
    1, 2, 2, 4, 5, 1, 6, 3, 2, 5, 1, 5, 1, 1, 4, 3, 1, 1, 2, 1, 1, 1, 2, 1, 2, 3, 3, 2, 1, 1, 1, 1, 1, 2, 3, 1, 2, 7,
    2, 4, 1, 1, 1, 6, 1, 2, 1, 2, 1, 1, 2, 3, 1, 1, 2, 2, 1, 2, 2, 2, 1, 1, 2, 1, 4, 2, 4, 3, 2, 2, 3,
];

#[test]
fn p1_every_situation_of_the_specifications_table_is_a_case_by_its_number() {
    let files = ["specification", "agents", "rest", "writes"];
    let results: Vec<CaseResult> = files.iter().flat_map(|file| run(&format!("{file}.cases.yaml"))).collect();
    let names: Vec<&str> = results.iter().filter_map(|result| result.name.split(' ').next()).collect();
    for (row, situations) in (1..).zip(SITUATIONS) {
        for at in 0..situations {
            let letter = char::from(b'a' + at);
            let is_it = |name: &&&str| **name == format!("{row}{letter}") || (at == 0 && **name == row.to_string());
            assert!(names.iter().any(|name| is_it(&name)), "no case is called {row}{letter}");
        }
    }
}

/// Where the tests of a file that the table of rules names are.
fn tests_of(file: &str) -> String {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = match file.split_once('/') {
        None => crates.join("tests/review").join(file),
        Some(("krate-model", rest)) => crates.join("../krate-model").join(rest),
        Some(_) => crates.join(file),
    };
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn the_table_of_rules_has_all_of_them_with_tests_that_are_there() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/permissions.md"));
    let page = page.expect("the page");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| P"))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let numbers: Vec<String> = rows.iter().map(|row| row[1].to_owned()).collect();
    assert_eq!(numbers, (1..=70).map(|number| format!("P{number}")).collect::<Vec<_>>());
    for row in &rows {
        let number = row[1].to_lowercase();
        for file in row[4].split(", ").map(|file| file.trim_matches('`')) {
            let is_shown = tests_of(file).lines().any(|line| {
                let name = line.trim().strip_prefix("fn ").or_else(|| line.trim().strip_prefix("async fn "));
                name.is_some_and(|name| name.split(['_', '(']).any(|word| word == number))
            });
            assert!(is_shown, "no test of {number} is in {file}");
        }
    }
}

#[test]
fn a_case_that_does_not_hold_says_so_and_a_file_that_cannot_be_run_says_why() {
    let mut document = yaml("specification.cases.yaml").pop().expect("one document");
    document["cases"] = json!([{"name": "one", "expect": {"outcome": "Denied"}}]);
    let results = Cases::read(&document, yaml("policy/acme.yaml")).expect("it is one").run();
    assert_eq!(results[0].wrong.as_deref(), Some("Denied is expected, Allowed is found"));
    document["cases"][0]["expect"] = json!({"outcome": "Allowed", "codes": ["WouldDeny"]});
    let results = Cases::read(&document, yaml("policy/acme.yaml")).expect("it is one").run();
    assert_eq!(results[0].wrong.as_deref(), Some("codes WouldDeny are expected,  are found"));
    for (cases, expected) in [
        (json!([{"name": "one", "expect": {"outcome": "Denied"}, "wish": 1}]), "unknown field `wish`"),
        (
            json!([{"name": "one", "expect": {"outcome": "Denied"}}, {"name": "one", "expect": {"outcome": "Denied"}}]),
            "two cases are named",
        ),
        (
            json!([{"name": "one", "without": ["User/nobody"], "expect": {"outcome": "Denied"}}]),
            "User/nobody isn't there",
        ),
        (json!([{"name": "one", "policy": [{"kind": "Pod"}], "expect": {"outcome": "Denied"}}]), "no decision is made"),
    ] {
        document["cases"] = cases;
        let error: CasesError = Cases::read(&document, yaml("policy/acme.yaml")).expect_err("it is none");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_policy_with_a_field_that_nobody_reads_is_no_policy() {
    let read =
        |document: &Value| Snapshot::new(0).with_document(document).map(|_| ()).map_err(|error| error.to_string());
    let whole = yaml("policy/acme.yaml");
    assert!(whole.iter().all(|document| read(document).is_ok()));
    let grant = whole.iter().find(|document| document["kind"] == "AgentSecretGrant").expect("a grant");
    for (pointer, field) in [("/spec", "allowedRef"), ("/spec/allowedRefs", "excludes"), ("/metadata", "labelz")] {
        let mut wrong = grant.clone();
        wrong.pointer_mut(pointer).expect("it is there")[field] = json!(["refs/heads/main"]);
        let path = format!("{}.{field}", pointer.trim_start_matches('/').replace('/', "."));
        let error = read(&wrong).expect_err(&path);
        assert!(error.starts_with(&path) && error.contains("is no field here"), "{error}");
    }
}
