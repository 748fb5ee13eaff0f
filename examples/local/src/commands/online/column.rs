//! The paths of printer columns: as much of Kubernetes' JSONPath as the definitions use.

use serde_json::Value;

/// One step down.
#[derive(Debug, PartialEq)]
enum Step<'p> {
    /// `.name`
    Member(&'p str),
    /// `[*]`
    All,
    /// `[?(@.member=="value")]`
    Where { member: &'p str, value: &'p str },
}

/// The way to what a column shows.
#[derive(Debug, PartialEq)]
pub(super) struct ColumnPath<'p>(Vec<Step<'p>>);

impl<'p> ColumnPath<'p> {
    /// `None` for a path of another form.
    pub(super) fn read(mut text: &'p str) -> Option<Self> {
        let mut steps = Vec::new();
        while !text.is_empty() {
            if let Some(rest) = text.strip_prefix("[*]") {
                steps.push(Step::All);
                text = rest;
            } else if let Some(rest) = text.strip_prefix("[?(@.") {
                let (member, rest) = rest.split_once("==\"")?;
                let (value, rest) = rest.split_once("\")]")?;
                steps.push(Step::Where { member, value });
                text = rest;
            } else {
                let rest = text.strip_prefix('.')?;
                let (name, rest) = rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()));
                if name.is_empty() {
                    return None;
                }
                steps.push(Step::Member(name));
                text = rest;
            }
        }
        Some(Self(steps))
    }

    /// What stands there; of several values all.
    pub(super) fn show(&self, object: &Value) -> String {
        let mut found = vec![object];
        for step in &self.0 {
            found = found.into_iter().flat_map(|value| step.of(value)).collect();
        }
        let texts = found.into_iter().filter(|value| !value.is_null());
        texts
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl Step<'_> {
    fn of<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        let entries = || value.as_array().into_iter().flatten();
        match self {
            Self::Member(name) => value.get(name).into_iter().collect(),
            Self::All => entries().collect(),
            Self::Where { member, value } => {
                entries().filter(|entry| entry.get(member).and_then(Value::as_str) == Some(value)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use krate_model::crd::crds;
    use serde_json::json;

    #[test]
    fn a_column_shows_what_its_path_finds() {
        let object = json!({"status": {"phase": "Ready", "count": 3, "conditions": [
            {"type": "AuthReady", "status": "True"}, {"type": "Ready", "status": "False"},
        ], "interfaces": [{"name": "cicd", "open": 1}, {"name": "gitForge", "open": 2}]}});
        for (path, shown) in [
            (".status.phase", "Ready"),
            (".status.count", "3"),
            (".status.conditions[?(@.type==\"Ready\")].status", "False"),
            (".status.conditions[?(@.type==\"Other\")].status", ""),
            (".status.interfaces[*].open", "1, 2"),
            (".status.nothing.there", ""),
        ] {
            assert_eq!(ColumnPath::read(path).expect(path).show(&object), shown, "{path}");
        }
        for other in ["status", "..a", ".a[", ".a[0]", ".a[?(@.b)]"] {
            assert_eq!(ColumnPath::read(other), None, "{other}");
        }
    }

    #[test]
    fn r25_every_column_of_every_definition_is_shown() {
        for definition in crds() {
            let columns =
                definition.spec.versions.iter().filter_map(|version| version.additional_printer_columns.as_ref());
            for column in columns.flatten() {
                let (kind, path) = (&definition.spec.names.kind, &column.json_path);
                assert!(ColumnPath::read(path).is_some(), "{kind}: {path}");
            }
        }
    }
}
