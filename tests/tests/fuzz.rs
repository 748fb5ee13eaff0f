//! The fuzz targets, over a small corpus and fixed mutations of it: what `cargo test` can do of what libFuzzer does for longer.

use std::path::Path;

use krate_tests::fuzz::TARGETS;
use serde_json::{Value, json};

/// Mutations of each seed.
const MUTATIONS: u64 = 150;

/// What parsers trip over.
const TOKENS: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"\\ud800",
    b"{",
    b"}",
    b"[[[[",
    b"]",
    b":",
    b",",
    b"null",
    b"true",
    b"-1",
    b"1e400",
    b"9223372036854775808",
    b"\xff",
    b"\0",
    b"\n",
    b"<",
    b">; rel=\"next\"",
    b"page=",
    b"%2f%2f",
    b"\xe2\x80\xae",
    b"\"id\":",
    b"\"spec\":{",
    b"sha256=",
];

const SEEDS: &[(&str, &[&str])] = &[
    (
        "pattern",
        &[
            "refs/heads/{main,release/*}\nrefs/heads/main",
            "**/*.env\nsrc/.env",
            "a/?/**\na/b/c",
            "src/**\nSRC/lib.rs",
            "refs/heads/feature-*\nrefs/heads/feature-\u{200b}x",
        ],
    ),
    ("webhook", &["sha256=00\n{\"action\":\"opened\"}", "\n[]", "no line"]),
    (
        "canonical",
        &[r#"{"b":[1,2.5,-0.0,1e21,"\u00e9\ud83d\ude00\n"],"a":{"c":null,"":true}}"#, "9007199254740993", "[]"],
    ),
    (
        "validate",
        &[
            r#"{"apiVersion":"krate.a5c.ai/v1alpha1","kind":"Issue","metadata":{"name":"a","namespace":"krate-org-acme"},
                "spec":{"organizationRef":"acme","title":"Crash","labels":["bug"],"state":"open"}}"#,
            r#"{"apiVersion":"krate.a5c.ai/v1alpha1","kind":"ExternalBackendBinding","metadata":{"name":"b","namespace":"krate-org-acme"},
                "spec":{"organizationRef":"acme","providerRef":"gh","targetRef":{"kind":"Repository","name":"site"},
                "externalRef":{"owner":"acme"},"interfaces":[{"name":"gitForge","mode":"read-only"}]}}"#,
        ],
    ),
    (
        "merge",
        &[
            r#"{"mode":"bidirectional","strategies":{"title":"scalar","labels":"set","body.markdown":"text","f":"map"},
                "base":{"title":"t","labels":["a","b"],"body":{"markdown":"1\n2\n3\n"},"f":{"a":1}},
                "desired":{"title":"T","labels":["a"],"body":{"markdown":"one\n2\n3\n"},"f":{"a":2}},
                "observed":{"title":"tt","labels":["a","b","c"],"body":{"markdown":"1\n2\nthree\n"},"f":{"a":3}}}"#,
            r#"{"mode":"external-owned","desired":{"state":"open","comments":[{"id":1}]},"observed":{"state":"closed","comments":[{"id":2}]}}"#,
        ],
    ),
    (
        "cursor",
        &[
            r#"<https://evil.example/repositories/1/issues?state=all&page=3>; rel="next", <https://x/?page=9>; rel="last""#,
            "<https://x/?after=Y3Vyc29y%3D%3D&page=2>; rel=next",
            "page=2&after=x",
            "//evil.example",
        ],
    ),
];

/// Numbers from a seed (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        usize::try_from(number).unwrap() % end.max(1)
    }
}

/// The seed after one to four changes.
fn mutated(seed: &[u8], number: u64) -> Vec<u8> {
    let mut numbers = Numbers(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut data = seed.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(data.len() + 1);
        let to = at + numbers.below(data.len() - at + 1).min(64);
        match numbers.below(5) {
            0 => data.truncate(at),
            1 => drop(data.drain(at..to)),
            2 => drop(data.splice(at..at, data[at..to].to_vec())),
            3 => drop(data.splice(at..at, TOKENS[numbers.below(TOKENS.len())].iter().copied())),
            _ => {
                if let Some(byte) = data.get_mut(at) {
                    *byte ^= 1 << numbers.below(8);
                }
            }
        }
    }
    data
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = SEEDS
        .iter()
        .filter(|(target, _)| *target == name)
        .flat_map(|(_, seeds)| seeds.iter().map(|seed| seed.as_bytes().to_vec()))
        .collect();
    if name == "review" {
        // The cases of the specification, each with its policies.
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../krate-policy/tests/cases");
        let read = |file: &str| -> Vec<Value> {
            serde_saphyr::from_multiple(&std::fs::read_to_string(folder.join(file)).unwrap()).unwrap()
        };
        for file in ["specification.cases.yaml", "agents.cases.yaml"] {
            let mut document = read(file).pop().unwrap();
            let mut policy = read("policy/acme.yaml");
            policy.extend(document["policy"].as_array().cloned().unwrap_or_default());
            for case in document["cases"].take().as_array().unwrap().iter().step_by(4) {
                let mut request = document["request"].clone();
                for (pointer, value) in case["set"].as_object().into_iter().flatten() {
                    if let Some(slot) = request.pointer_mut(pointer) {
                        *slot = value.clone();
                    }
                }
                seeds.push(json!({"policy": policy, "request": request}).to_string().into_bytes());
            }
        }
    }
    if name == "webhook" {
        let payloads = Path::new(env!("CARGO_MANIFEST_DIR")).join("../krate-providers/tests/fixtures/github/webhooks");
        for folder in std::fs::read_dir(payloads).unwrap() {
            for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
                let body = std::fs::read(file.unwrap().path()).unwrap();
                seeds.push([b"sha256=00\n".as_slice(), &body].concat());
            }
        }
        // The folders come in no order, and the mutations are numbered.
        seeds.sort();
    }
    assert!(seeds.len() > 1, "{name} has a corpus");
    seeds
}

#[test]
fn s13_no_target_breaks_on_its_corpus_or_mutations_of_it() {
    for (name, target) in TARGETS {
        for (at, seed) in corpus(name).iter().enumerate() {
            target(seed);
            for number in 0..MUTATIONS {
                let data = mutated(seed, number);
                let broken = std::panic::catch_unwind(|| target(&data));
                let shown = String::from_utf8_lossy(&data);
                assert!(
                    broken.is_ok(),
                    "{name}, seed {at}, mutation {number}:\n{}",
                    shown.chars().take(4000).collect::<String>()
                );
            }
        }
    }
}

#[test]
fn a_broken_promise_is_seen() {
    let forgiving: fn(&[u8]) = |data| assert!(!data.contains(&0xff), "a byte that mutations bring in");
    let seen = (0..MUTATIONS).any(|number| {
        let data = mutated(b"{\"a\":[1,2,3]}", number);
        std::panic::catch_unwind(|| forgiving(&data)).is_err()
    });
    assert!(seen);
}
