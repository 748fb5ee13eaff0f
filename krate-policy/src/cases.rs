//! Case files: requests, each with the answer that is expected. For the tests of somebody's own policies, and for the specification's (P46, `krate policy test`).
//!
//! ```
//! use krate_policy::cases::Cases;
//! # use serde_json::json;
//! let file = json!({
//!     "policy": [{
//!         "apiVersion": "krate.a5c.ai/v1alpha1", "kind": "Organization",
//!         "metadata": {"name": "a", "uid": "u-a", "resourceVersion": "1"},
//!         "spec": {"displayName": "A", "slug": "a", "namespaceName": "krate-org-a"},
//!     }],
//!     "request": {
//!         "organization": "a", "now": "2026-06-01T00:00:00Z",
//!         "subject": {"kind": "user", "name": "ada", "uid": "u-ada"},
//!         "actorChain": [{"kind": "user", "name": "ada", "uid": "u-ada"}],
//!         "causeChain": [{"event": "manual", "at": "2026-06-01T00:00:00Z", "gate": {"role": "author"}}],
//!         "action": {"verb": "get", "kind": "Issue"},
//!     },
//!     "cases": [
//!         {"name": "nobody knows ada", "expect": {"outcome": "Denied", "codes": ["UnknownSubject"]}},
//!         {"name": "nor where", "set": {"/organization": "b"}, "expect": {"outcome": "Denied", "codes": ["InvalidRequest"]}},
//!     ],
//! });
//! let results = Cases::read(&file, [])?.run();
//! assert!(results.iter().all(|result| result.wrong.is_none()));
//! # Ok::<(), krate_policy::cases::CasesError>(())
//! ```

use std::collections::BTreeMap;

use krate_model::Kind;
use krate_model::kinds::policy::ApprovalClass;
use krate_model::kinds::shared::Time;
use krate_model::validate::{Part, View};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::admission::{Change, Write, admit, failed};
use crate::decision::{Decision, Outcome};
use crate::explain::explain;
use crate::permit::Permit;
use crate::reason::{Code, Reason};
use crate::request::{Need, Request};
use crate::review::{read, review};
use crate::roles::Controller;
use crate::snapshot::{Item, Key, Snapshot};

/// The most characters of a text, or lists within each other, that a case makes up.
const MAX_MADE_UP: usize = 16 * 1024 * 1024;
/// What stands for a value that is put in as text.
const MADE_UP: &str = "a value that is made up";

/// The most cases of a file.
pub const MAX_CASES: usize = 10_000;

/// A file of cases that was read.
#[derive(Debug, Clone)]
pub struct Cases {
    snapshot: Snapshot,
    request: Value,
    all: Vec<Case>,
}

/// What a file of cases holds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    /// Resources, beside those that are given from outside.
    #[serde(default)]
    policy: Vec<Value>,
    /// Controllers that act for themselves, with their uid.
    #[serde(default)]
    controllers: BTreeMap<String, String>,
    /// Who administers the platform, with their uid.
    #[serde(default)]
    platform_admins: BTreeMap<String, String>,
    /// The request that the cases change.
    request: Value,
    cases: Vec<Case>,
}

/// One case.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Case {
    name: String,
    /// Resources in place of those of the same kind and name.
    #[serde(default)]
    policy: Vec<Value>,
    /// Fields of resources that are there: `Kind/name` to JSON pointer to value; null takes it out.
    #[serde(default)]
    change: BTreeMap<String, BTreeMap<String, Value>>,
    /// Resources that are gone, as `Kind/name`.
    #[serde(default)]
    without: Vec<String>,
    /// Fields of the request: JSON pointer to value; null takes it out.
    #[serde(default)]
    set: BTreeMap<String, Value>,
    /// An approval of exactly this, which the request then presents.
    approved: Option<Approved>,
    /// Fields of the request that change after it was approved.
    #[serde(default)]
    then: BTreeMap<String, Value>,
    /// What has changed in the resources since it was approved.
    #[serde(default)]
    since: Since,
    /// Texts of the request that are so many characters long, by JSON pointer.
    #[serde(default)]
    long: BTreeMap<String, usize>,
    /// Values of the request that are so many lists within each other, by JSON pointer.
    #[serde(default)]
    deep: BTreeMap<String, usize>,
    /// Whether Kubernetes is asked, too.
    #[serde(default)]
    native: bool,
    /// A write that the request's subject wants to make: it is admitted, not reviewed.
    write: Option<Written>,
    /// What has changed when the yes is acted on.
    later: Option<Later>,
    expect: Expect,
}

/// Resources that are others by now.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Since {
    /// Fields that have changed.
    change: BTreeMap<String, BTreeMap<String, Value>>,
    /// Those that are gone.
    without: Vec<String>,
}

/// A write: exactly one of its first three.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    /// What is made.
    create: Option<Value>,
    /// What is changed.
    update: Option<Updated>,
    /// What is deleted.
    delete: Option<Value>,
    /// Whether it is the status that is written.
    #[serde(default)]
    status: bool,
    /// Whether the decision about it itself fails, as in a panic (P42).
    #[serde(default)]
    fails: bool,
}

/// A change of a document.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Updated {
    /// As it is stored.
    old: Value,
    /// Its fields: JSON pointer to value; null takes it out.
    set: BTreeMap<String, Value>,
}

/// The time when a yes is acted on.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Later {
    /// When; absent: at once.
    now: Option<Time>,
    /// Fields of resources that have changed.
    change: BTreeMap<String, BTreeMap<String, Value>>,
    /// Resources that are gone.
    without: Vec<String>,
    /// Fields of the request that is presented with it.
    set: BTreeMap<String, Value>,
    /// Whether nobody counted the uses that the yes takes.
    uncounted: bool,
    /// A key of a grant that is used then, in place of the yes itself.
    handle: Option<Used>,
}

/// A handle that is used.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Used {
    /// As `Kind/name`.
    grant: String,
    /// The Secret or ConfigMap.
    target: String,
    /// The key.
    key: String,
    /// The attempt's token when it was given.
    token: u64,
    /// The attempt's token now.
    current: u64,
}

/// An approval of what a case asks for.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Approved {
    /// Names of the persons who said yes.
    by: Vec<String>,
    /// Of which class.
    #[serde(default = "secret_access")]
    class: String,
    /// Who asked for it; absent: the request's subject.
    requested_by: Option<String>,
    /// Fields of the approval's document: JSON pointer to value; null takes it out.
    #[serde(default)]
    set: BTreeMap<String, Value>,
}

fn secret_access() -> String {
    ApprovalClass::SecretAccess.to_string()
}

/// What is expected.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Expect {
    outcome: String,
    /// Every code, in order; absent: whichever.
    codes: Option<Vec<String>>,
    /// The role, grant or rule that is named somewhere in the decision.
    by: Option<String>,
    /// The level of trust in who steers it.
    trust: Option<String>,
}

/// What a case came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct CaseResult {
    /// The case.
    pub name: String,
    /// What it came to: the outcome and the codes.
    pub found: String,
    /// What is wrong with that; absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrong: Option<String>,
    /// The decision as a person would say it.
    pub explanation: String,
}

/// Why a file of cases can't be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CasesError {
    /// It isn't of the form.
    #[error("{0}")]
    Form(String),
    /// A resource can't be taken in.
    #[error("{at}: {what}")]
    Resource {
        /// Where: in `policy`, or in a case.
        at: String,
        /// What is wrong.
        what: String,
    },
    /// Two cases have one name, so that nobody knows which failed.
    #[error("two cases are named {0:?}")]
    NamedTwice(String),
    /// It holds too many.
    #[error("it holds {0} cases; at most {MAX_CASES} are run")]
    TooMany(usize),
}

impl Cases {
    /// Reads a file of cases; `policy` are the resources that all of them start from, beside the file's own.
    ///
    /// # Errors
    /// [`CasesError`] names what is wrong, and where.
    pub fn read(file: &Value, policy: impl IntoIterator<Item = Value>) -> Result<Self, CasesError> {
        let file: File = File::deserialize(file).map_err(|error| CasesError::Form(error.to_string()))?;
        if file.cases.len() > MAX_CASES {
            return Err(CasesError::TooMany(file.cases.len()));
        }
        let mut names = std::collections::BTreeSet::new();
        if let Some(twice) = file.cases.iter().find(|case| !names.insert(case.name.as_str())) {
            return Err(CasesError::NamedTwice(twice.name.clone()));
        }
        let mut snapshot = Snapshot::new(1);
        for (index, document) in policy.into_iter().chain(file.policy).enumerate() {
            snapshot = with(&snapshot, &document)
                .map_err(|what| CasesError::Resource { at: format!("policy[{index}]"), what })?;
        }
        for (name, uid) in &file.controllers {
            snapshot = snapshot.with_controller(name, uid, Controller::from_text(name));
        }
        for (name, uid) in &file.platform_admins {
            snapshot = snapshot.with_platform_admin(name, uid);
        }
        let this = Self { snapshot, request: file.request, all: file.cases };
        for case in &this.all {
            this.snapshot_of(case)?;
        }
        Ok(this)
    }

    /// Runs all of them.
    pub fn run(&self) -> Vec<CaseResult> {
        self.all.iter().map(|case| self.run_one(case)).collect()
    }

    fn run_one(&self, case: &Case) -> CaseResult {
        let mut document = self.request.clone();
        for (pointer, value) in &case.set {
            set(&mut document, pointer, value.clone());
        }
        let wrong = |found: String, what: String, explanation: String| CaseResult {
            name: case.name.clone(),
            found,
            wrong: Some(what),
            explanation,
        };
        let mut snapshot = match self.snapshot_of(case) {
            Ok(snapshot) => snapshot,
            Err(error) => return wrong(String::new(), error.to_string(), String::new()),
        };
        if let Some(approved) = &case.approved {
            match approve(&snapshot, &document, approved) {
                Ok(with_it) => snapshot = with_it,
                Err(what) => return wrong(String::new(), format!("it can't be approved: {what}"), String::new()),
            }
            set(&mut document, "/approvals", json!([PRESENTED]));
        }
        snapshot = match changed(snapshot, &case.since.change, &case.since.without) {
            Ok(snapshot) => snapshot,
            Err(what) => return wrong(String::new(), what, String::new()),
        };
        for (pointer, value) in &case.then {
            set(&mut document, pointer, value.clone());
        }
        let (outcome, codes, names, trust, explanation) = match read(case.sized(&mut document).as_bytes()) {
            // What is no request is denied before anything looks at it.
            Err(reason) => {
                let explanation = format!("It is no request: {}\n", reason.text);
                (Outcome::Denied, vec![reason.code.as_str()], Vec::new(), None, explanation)
            }
            Ok(request) => {
                let (decision, is_valid) = match &case.write {
                    None => (review(&request, &snapshot), true),
                    Some(write) => match admitted(write, &request, &snapshot) {
                        Ok(answer) => answer,
                        Err(what) => return wrong(String::new(), what, String::new()),
                    },
                };
                let mut codes: Vec<&str> = decision.codes().map(Code::as_str).collect();
                let mut outcome = decision.outcome;
                if !is_valid {
                    // What breaks a rule of its kind is refused, whoever writes it.
                    outcome = Outcome::Denied;
                    codes.push(Code::InvalidRequest.as_str());
                }
                let trust = decision.trust.as_ref().map(|trust| trust.steering.as_str());
                let (named, explanation) = (names(&decision), explain(&request, &decision));
                if let (Some(later), Outcome::Allowed) = (&case.later, outcome) {
                    match Self::acted_on(&snapshot, later, &request, decision.clone(), &document) {
                        Ok(Ok(())) => {}
                        Ok(Err(reason)) => {
                            outcome = Outcome::Denied;
                            codes = vec![reason.code.as_str()];
                        }
                        Err(what) => return wrong(String::new(), what, explanation),
                    }
                }
                (outcome, codes, named, trust, explanation)
            }
        };
        let found = format!("{outcome:?} {}", codes.join(" "));
        let expect = &case.expect;
        if format!("{outcome:?}") != expect.outcome {
            let what = format!("{} is expected, {outcome:?} is found", expect.outcome);
            return wrong(found, what, explanation);
        }
        if let Some(expected) = expect.codes.as_ref().filter(|expected| **expected != codes) {
            let what = format!("codes {} are expected, {} are found", expected.join(" "), codes.join(" "));
            return wrong(found, what, explanation);
        }
        if let Some(by) = expect.by.as_ref().filter(|by| !names.contains(*by)) {
            return wrong(found, format!("{by} is expected to be named, and isn't"), explanation);
        }
        if expect.trust.as_deref().is_some_and(|expected| Some(expected) != trust) {
            let what = format!("trust {:?} is expected, {trust:?} is found", expect.trust);
            return wrong(found, what, explanation);
        }
        CaseResult { name: case.name.clone(), found, wrong: None, explanation }
    }

    /// What becomes of a yes by that snapshot when it is acted on.
    fn acted_on(
        snapshot: &Snapshot,
        later: &Later,
        request: &Request,
        decision: Decision,
        document: &Value,
    ) -> Result<Result<(), Reason>, String> {
        let mut snapshot = changed(snapshot.clone(), &later.change, &later.without)?;
        for name in later.change.keys() {
            // What was changed has another version.
            let key = key(&snapshot, name)?;
            let item =
                snapshot.item(key.kind, &key.namespace, &key.name).ok_or_else(|| format!("{name} isn't there"))?;
            let mut document = item.document();
            set(&mut document, "/metadata/resourceVersion", "1000".into());
            snapshot = with(&snapshot, &document)?;
        }
        let now = later.now.unwrap_or(request.now);
        let mut permit = Permit::new(request, decision).map_err(|error| error.to_string())?;
        if let Some(used) = &later.handle {
            let is_it = |need: &Need| match need {
                Need::Secret { name, key, .. } | Need::Config { name, key, .. } => {
                    **name == *used.target && **key == *used.key
                }
                _ => false,
            };
            let given = permit
                .decision()
                .per_need
                .iter()
                .find(|given| given.by.as_deref() == Some(used.grant.as_str()) && is_it(&given.need));
            let handle = given.and_then(|given| permit.handle(&given.need, "attempt", used.token));
            let handle = handle.ok_or_else(|| format!("{} gave no such key", used.grant))?;
            return Ok(handle.check(request, used.current, now, &snapshot));
        }
        if !later.uncounted {
            permit.note_counted();
        }
        let mut presented = document.clone();
        for (pointer, value) in &later.set {
            set(&mut presented, pointer, value.clone());
        }
        let presented = read(presented.to_string().as_bytes()).map_err(|reason| reason.text.to_string())?;
        Ok(permit.check(&presented, now, &snapshot))
    }

    fn snapshot_of(&self, case: &Case) -> Result<Snapshot, CasesError> {
        let failed = |what| CasesError::Resource { at: format!("case {:?}", case.name), what };
        let mut snapshot = self.snapshot.clone().with_native(case.native);
        for document in &case.policy {
            snapshot = with(&snapshot, document).map_err(failed)?;
        }
        changed(snapshot, &case.change, &case.without).map_err(failed)
    }
}

/// The snapshot with fields of resources changed, and others gone.
fn changed(
    mut snapshot: Snapshot,
    change: &BTreeMap<String, BTreeMap<String, Value>>,
    without: &[String],
) -> Result<Snapshot, String> {
    for (name, changes) in change {
        let key = key(&snapshot, name)?;
        let item = snapshot.item(key.kind, &key.namespace, &key.name);
        let mut document = item.ok_or_else(|| format!("{name} isn't there")).map(Item::document)?;
        for (pointer, value) in changes {
            set(&mut document, pointer, value.clone());
        }
        snapshot = with(&snapshot, &document)?;
    }
    for name in without {
        snapshot = snapshot.without(snapshot.version(), &key(&snapshot, name)?);
    }
    Ok(snapshot)
}

impl Case {
    /// The request as JSON, with what is too long or too deep to be written into a file put in.
    fn sized(&self, document: &mut Value) -> String {
        let sizes = |sizes: &BTreeMap<String, usize>| -> Vec<(String, usize)> {
            sizes.iter().map(|(pointer, size)| (pointer.clone(), (*size).min(MAX_MADE_UP))).collect()
        };
        for (pointer, size) in sizes(&self.long) {
            set(document, &pointer, "x".repeat(size).into());
        }
        let deep = sizes(&self.deep);
        // A value that deep is never built: whoever reads it should refuse it before it is one.
        let mark = |at: usize| format!("{MADE_UP} {at}");
        for (at, (pointer, _)) in deep.iter().enumerate() {
            set(document, pointer, mark(at).into());
        }
        let mut text = document.to_string();
        for (at, (_, size)) in deep.iter().enumerate() {
            let value = "[".repeat(*size) + &"]".repeat(*size);
            text = text.replace(&Value::from(mark(at)).to_string(), &value);
        }
        text
    }
}

/// Whether a write may be made, and whether its document is valid.
fn admitted(write: &Written, by: &Request, snapshot: &Snapshot) -> Result<(Decision, bool), String> {
    let mut changed = Value::Null;
    if let Some(update) = &write.update {
        changed = update.old.clone();
        for (pointer, value) in &update.set {
            set(&mut changed, pointer, value.clone());
        }
    }
    let change = match (&write.create, &write.update, &write.delete) {
        (Some(new), None, None) => Change::Create { new },
        (None, Some(update), None) => Change::Update { old: &update.old, new: &changed },
        (None, None, Some(old)) => Change::Delete { old },
        _ => return Err("write holds exactly one of create, update and delete".to_owned()),
    };
    let part = if write.status { Part::Status } else { Part::Main };
    let view = View::partial(snapshot.all().map(|(_, item)| item.document()));
    let asked = Write { by, change, part };
    let answer = if write.fails { failed(&asked, snapshot) } else { admit(&asked, &view, snapshot) };
    let decision = answer.decision.ok_or_else(|| "it is of no kind of krate's".to_owned())?;
    Ok((decision, answer.report.is_valid()))
}

/// The name of the approval that a case presents.
const PRESENTED: &str = "presented";

/// The snapshot with an approval of what `document` asks for now.
fn approve(snapshot: &Snapshot, document: &Value, approved: &Approved) -> Result<Snapshot, String> {
    let request = read(document.to_string().as_bytes()).map_err(|reason| reason.text.to_string())?;
    let namespace = snapshot.namespace_of(&request.organization).ok_or("there is no such organization")?;
    let digest = review(&request, snapshot).approval_digest(&request).map_err(|error| error.to_string())?;
    let person = |name: &str| {
        let uid = snapshot.user(namespace, name).and_then(|user| user.metadata.uid.clone());
        json!({"kind": "user", "name": name, "uid": uid})
    };
    let answers = approved.by.iter().map(|name| json!({"by": person(name), "at": request.now, "verdict": "approved"}));
    let ends = request.now.checked_add_signed(chrono::TimeDelta::hours(24)).unwrap_or(request.now);
    let mut approval = json!({
        "apiVersion": krate_model::API_VERSION, "kind": "AgentApproval",
        "metadata": {"name": PRESENTED, "namespace": namespace, "uid": "u-presented", "resourceVersion": "1"},
        "spec": {
            "organizationRef": request.organization, "subject": {"kind": "dispatchRun", "name": "run"}, "class": approved.class,
            "action": {"summary": "what the case asks for"}, "digest": digest, "expiresAt": ends,
            "requestedBy": person(approved.requested_by.as_deref().unwrap_or(&request.subject.name)),
        },
        "status": {"phase": "Approved", "decisions": answers.collect::<Vec<_>>()},
    });
    for (pointer, value) in &approved.set {
        set(&mut approval, pointer, value.clone());
    }
    with(snapshot, &approval)
}

/// Everything that a decision names.
fn names(decision: &Decision) -> Vec<String> {
    let versions = decision.versions.iter().map(|version| &version.name);
    let reasons = decision.reasons.iter().map(|reason| &reason.name);
    let needs = decision.per_need.iter().filter_map(|need| need.by.as_ref());
    decision.by.iter().chain(versions).chain(reasons).chain(needs).map(ToString::to_string).collect()
}

fn with(snapshot: &Snapshot, document: &Value) -> Result<Snapshot, String> {
    snapshot.with_document(document).map_err(|error| error.to_string())
}

/// Where `Kind/name` stands: in the first namespace that has it.
fn key(snapshot: &Snapshot, named: &str) -> Result<Key, String> {
    let (kind, name) = named.split_once('/').ok_or_else(|| format!("{named:?} is no Kind/name"))?;
    let kind: Kind = kind.parse().map_err(|_| format!("{kind:?} is no kind that is known"))?;
    let namespaces = snapshot.namespaces().chain([""]);
    let mut keys = namespaces.map(|namespace| Key { kind, namespace: namespace.into(), name: name.into() });
    keys.find(|key| snapshot.item(kind, &key.namespace, name).is_some()).ok_or_else(|| format!("{named} isn't there"))
}

/// Sets the value at a JSON pointer, making the objects on the way; null takes it out. A last step `-` adds to a list.
fn set(document: &mut Value, pointer: &str, value: Value) {
    let steps: Vec<String> =
        pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
    let Some((last, way)) = steps.split_last() else {
        *document = value;
        return;
    };
    let mut at = document;
    for step in way {
        at = match at {
            Value::Array(items) => match step.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                Some(item) => item,
                None => return,
            },
            Value::Object(fields) => {
                fields.entry(step.clone()).or_insert_with(|| Value::Object(serde_json::Map::new()))
            }
            other => {
                *other = Value::Object(serde_json::Map::new());
                match other {
                    Value::Object(fields) => fields.entry(step.clone()).or_insert(Value::Null),
                    _ => return,
                }
            }
        };
    }
    match at {
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => {
            let Some(index) = last.parse::<usize>().ok().filter(|index| *index < items.len()) else { return };
            if value.is_null() {
                items.remove(index);
            } else if let Some(item) = items.get_mut(index) {
                *item = value;
            }
        }
        Value::Object(fields) if value.is_null() => {
            fields.remove(last);
        }
        Value::Object(fields) => {
            fields.insert(last.clone(), value);
        }
        other => {
            *other = Value::Object([(last.clone(), value)].into_iter().collect());
        }
    }
}
