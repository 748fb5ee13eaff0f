//! Every text of a spec, keys of maps among them: what it may hold, and that it is no credential (R9, R23). The keys of labels and annotations, too. And the
//! reason of a forced deletion (R21).

use serde_json::Value;

use super::failure::{Code, Findings};
use super::path::{Path, ROOT};
use super::rules::Rule;
use super::{Subject, Writer, schema, secrets, text};
use crate::{FORCE_DELETE, Kind, MIN_FORCE_REASON, StorageClass, is_force_reason};

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    let is_observed = subject.request.writer == Writer::Controller && subject.kind.info().class == StorageClass::Record;
    let scan = Scan { is_observed, is_ssh_key: subject.kind == Kind::SSHKey };
    let spec = ROOT.field("spec");
    scan.walk(subject.schema.and_then(|schema| schema.get("properties")?.get("spec")), subject.spec, spec, findings);
    let metadata = ROOT.field("metadata");
    for list in ["labels", "annotations"] {
        let list_path = metadata.field(list);
        for (key, value) in super::path::map(subject.document, &format!("metadata.{list}")).into_iter().flatten() {
            map_key(key, false, &list_path, findings);
            let Some(value) = value.as_str() else { continue };
            if let Some(problem) = text::problem(value, list == "annotations") {
                findings.fail(list_path.key(key), Rule::r(23), Code::Invalid, problem);
            }
            if list == "annotations" && key == FORCE_DELETE && !is_force_reason(value) {
                let message = format!("is no reason: at least {MIN_FORCE_REASON} characters are accepted");
                findings.fail(list_path.key(key), Rule::r(21), Code::Invalid, message);
            }
        }
    }
}

/// What the schema doesn't name was chosen by whoever wrote the document, as a value is. `Path` hides a key that looks like a credential (R29).
fn map_key(key: &str, is_kept: bool, map: &Path<'_>, findings: &mut Findings) {
    if let Some(found) = secrets::looks_like(key, "").filter(|_| !is_kept) {
        let message = format!("is a key that looks like {found}: put it into a Secret and refer to that");
        findings.fail(map.key(key), Rule::r(9), Code::Forbidden, message);
    }
    if let Some(problem) = text::problem(key, is_kept) {
        findings.fail(map.key(key), Rule::r(23), Code::Invalid, format!("is a key that {problem}"));
    }
}

struct Scan {
    /// Whether the spec holds what a provider said: then its texts are kept as they came.
    is_observed: bool,
    is_ssh_key: bool,
}

impl Scan {
    // Recursion is bounded: a document deeper than the limit was refused before (R68).
    fn walk(&self, schema: Option<&Value>, value: &Value, path: Path<'_>, findings: &mut Findings) {
        match value {
            Value::String(text) => self.text(text, &path, findings),
            Value::Array(items) => {
                let key = schema.map(schema::map_keys).and_then(|keys| keys.first().copied());
                let item_schema = schema.and_then(|schema| schema.get("items"));
                for (at, item) in items.iter().enumerate() {
                    let here = key.map_or_else(|| path.index(at), |key| path.entry(at, item, key));
                    self.walk(item_schema, item, here, findings);
                }
            }
            Value::Object(fields) => {
                let properties = schema.and_then(|schema| schema.get("properties"));
                let others = schema.and_then(|schema| schema.get("additionalProperties"));
                for (name, value) in fields {
                    let known = properties.and_then(|properties| properties.get(name));
                    if known.is_none() {
                        map_key(name, self.is_observed && text::is_provider_text(path.last_name()), &path, findings);
                    }
                    let here = if known.is_none() && others.is_some_and(Value::is_object) {
                        path.key(name)
                    } else {
                        path.field(name)
                    };
                    self.walk(known.or(others), value, here, findings);
                }
            }
            _ => {}
        }
    }

    fn text(&self, text: &str, path: &Path<'_>, findings: &mut Findings) {
        let name = path.last_name();
        if let Some(found) = secrets::looks_like(text, name)
            && !(self.is_observed && text::is_provider_text(name))
        {
            let message = format!("looks like {found}: put it into a Secret and refer to that");
            findings.fail(path, Rule::r(9), Code::Forbidden, message);
        }
        // An SSH key is judged whole by R14, which knows its lines.
        if self.is_ssh_key && path.is_field("key") {
            return;
        }
        let is_kept = self.is_observed && text::is_provider_text(name);
        if let Some(problem) = text::problem(text, text::is_prose(name) || is_kept) {
            findings.fail(path, Rule::r(23), Code::Invalid, problem);
        }
    }
}
