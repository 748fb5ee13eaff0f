//! A policy in force, made ready to be asked: which rule, where it holds, and how (permission-review.md section 3, step 4).

use std::collections::BTreeSet;
use std::sync::Arc;

use krate_model::kinds::enforcement::{PolicyBinding, PolicyMode};
use krate_model::kinds::shared::RefFilter;
use krate_model::{Kind, NotASelector, Selector};

use crate::decision::Version;
use crate::grant::version;
use crate::pattern::{Domain, Pattern};
use crate::request::Request;

/// A binding of a policy. What it lists denies, so all of it over-matches (P66); what it excludes doesn't.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Guard {
    pub(crate) version: Arc<Version>,
    pub(crate) name: Box<str>,
    pub(crate) template: Box<str>,
    pub(crate) profile: Option<Box<str>>,
    pub(crate) enforces: bool,
    pub(crate) suspended: bool,
    pub(crate) parameters: BTreeSet<Box<str>>,
    /// Labels that the object has to have.
    pub(crate) labels: Option<Result<Selector, NotASelector>>,
    repositories: Names,
    environments: Names,
    pools: Names,
    kinds: Names,
    subject_kinds: Names,
    refs: Option<Refs>,
}

/// Names of which one has to fit; nothing listed fits all.
#[derive(Debug, Clone, Default, PartialEq)]
struct Names(Vec<(Box<str>, Option<Pattern>)>);

impl Names {
    fn of(names: &BTreeSet<String>) -> Self {
        let read = |name: &String| (name.as_str().into(), Pattern::parse(name, Domain::Name).ok());
        Self(names.iter().map(read).collect())
    }

    fn fit(&self, found: Option<&str>) -> bool {
        let fits = |found: &str| {
            let one = |(name, pattern): &(Box<str>, Option<Pattern>)| {
                **name == *found || pattern.as_ref().is_some_and(|pattern| pattern.over_matches(found))
            };
            self.0.iter().any(one)
        };
        self.0.is_empty() || found.is_some_and(fits)
    }
}

/// Refs that a policy is about. A list that can't be read holds for every ref: what isn't known is a no (P11).
#[derive(Debug, Clone, PartialEq)]
struct Refs {
    include: Option<Vec<Pattern>>,
    exclude: Vec<Pattern>,
}

impl Refs {
    fn of(filter: &RefFilter) -> Self {
        let read = |texts: &[String]| {
            texts.iter().map(|text| Pattern::parse(text, Domain::Ref)).collect::<Result<Vec<_>, _>>().ok()
        };
        let include: Vec<String> = filter.include.iter().map(ToString::to_string).collect();
        let exclude: Vec<String> = filter.exclude.iter().map(ToString::to_string).collect();
        Self { include: read(&include), exclude: read(&exclude).unwrap_or_default() }
    }

    fn fit(&self, found: Option<&str>) -> bool {
        let Some(include) = &self.include else { return true };
        let Some(found) = found else { return false };
        include.iter().any(|pattern| pattern.over_matches(found))
            && !self.exclude.iter().any(|pattern| pattern.matches(found))
    }
}

impl Guard {
    pub(crate) fn of(binding: &PolicyBinding) -> Self {
        let (spec, scope) = (&binding.spec, binding.spec.scope.clone().unwrap_or_default());
        Self {
            version: version(Kind::PolicyBinding, &binding.metadata),
            name: binding.metadata.name.as_deref().unwrap_or_default().into(),
            template: spec.template_ref.as_str().into(),
            profile: spec.profile_ref.as_deref().map(Into::into),
            // A mode that this version doesn't know blocks.
            enforces: spec.mode != PolicyMode::Audit,
            suspended: spec.suspend,
            parameters: spec.parameters.keys().map(|name| name.as_str().into()).collect(),
            labels: scope
                .labels
                .as_ref()
                .map(Selector::new)
                .filter(|labels| !labels.as_ref().is_ok_and(Selector::is_empty)),
            repositories: Names::of(&scope.repositories),
            environments: Names::of(&scope.environments),
            pools: Names::of(&scope.runner_pools),
            kinds: Names::of(&scope.kinds),
            subject_kinds: Names::of(&scope.subject_kinds),
            refs: scope.refs.as_ref().map(Refs::of),
        }
    }

    /// Whether it holds whatever a request tells.
    pub(crate) fn is_everywhere(&self) -> bool {
        let names = [&self.repositories, &self.environments, &self.pools, &self.kinds, &self.subject_kinds];
        self.labels.is_none() && self.refs.is_none() && names.iter().all(|names| names.0.is_empty())
    }

    /// Whether the request falls under it, as far as the request tells.
    pub(crate) fn covers(&self, request: &Request) -> bool {
        let repository = request.repository.as_ref().map(|repository| &*repository.name);
        self.repositories.fit(repository)
            && self.environments.fit(request.environment.as_deref())
            && self.pools.fit(request.runner_pool.as_ref().map(|pool| &*pool.name))
            && self.kinds.fit(Some(&request.action.kind))
            && self.subject_kinds.fit(Some(request.subject.kind.as_str()))
            && self.refs.as_ref().is_none_or(|refs| refs.fit(request.git_ref.as_deref()))
    }
}
