//! Step 6: a role of krate covers verb, kind and scope, and what Kubernetes said where it was asked doesn't contradict (P39, P40, P63).

use std::sync::Arc;

use krate_model::Kind;
use krate_model::kinds::grants::{AgentRoleBinding, AgentRoleBindingPhase, RoleKind, ScopeKind};
use krate_model::kinds::members::{
    Permission, RepositoryGrant, RepositoryPermission, RepositoryPermissionPhase, Team, UserState,
};
use krate_model::kinds::registry::GROUP;
use krate_model::kinds::sets::Operation;
use krate_model::kinds::shared::Approvers;

use super::Review;
use crate::decision::Version;
use crate::native::question;
use crate::reason::{Code, Reason};
use crate::request::{Link, Named, NativeQuestion, Request, SubjectKind, Verb};
use crate::roles::{Template, right_of};
use crate::snapshot::{Held, Item, Person};

/// Oldest answer of an access review that counts (P63).
const MAX_ANSWER_AGE_SECONDS: i64 = 30;

/// What a role search came to.
enum Found {
    /// This one allows it; where the person has it through a team, with the team.
    Role(Arc<Version>, Option<Arc<Version>>),
    /// One would, but its native binding is another by now.
    Drifted(Arc<Version>),
    /// None does.
    Nothing,
}

pub(super) fn step(review: &mut Review<'_>) {
    let request = review.request;
    // P61: what a chain does is cut to the rights of the person at its end.
    let last = request.actor_chain.last();
    if let Some(link) = last.filter(|link| link.kind == SubjectKind::Controller) {
        return controller(review, link);
    }
    // P43: a status is its controller's; no role of a person reaches it.
    let is_read = matches!(request.action.verb, Verb::Get | Verb::List | Verb::Watch);
    if request.action.subresource.as_deref() == Some("status") && !is_read {
        return review.deny(Code::MissingRole, "action.subresource", "a status is written by its controller alone");
    }
    let person = last.map_or("", |link| &link.name);
    match search(review, person) {
        Found::Role(role, team) => {
            // P4: who leaves the team has it no more.
            for used in team.iter().chain([&role]) {
                review.used(used, None);
            }
            review.decision.by = Some(role.name.clone());
            operation(review, person);
        }
        Found::Drifted(role) => {
            let text = "the role binding that it needs is another in Kubernetes by now";
            review.say(Reason::new(Code::NativeRbacDrifted, "subject", text).by(role.name.clone()));
        }
        Found::Nothing => {
            let text = format!("{person} has no role that may {} {}", request.action.verb, request.action.kind);
            review.deny(Code::MissingRole, "subject", text);
        }
    }
    native(review);
}

/// An operation is a right of its own: who may look at an issue may not merge by a request that names both.
fn operation(review: &mut Review<'_>, person: &str) {
    let operation = review.request.action.operation.as_deref().map(Operation::from_text);
    let Some(operation) = operation.filter(Operation::is_write) else { return };
    if !right_of(&operation).is_some_and(|(verb, kind)| may_on(review, person, &verb, kind)) {
        let text = format!("{person} has no role that may {operation}");
        review.deny(Code::MissingRole, "action.operation", text);
    }
}

/// A controller has what it needs, by its own table, and asks Kubernetes like everybody.
fn controller(review: &mut Review<'_>, link: &Link) {
    let request = review.request;
    let allows = review.kind.is_some_and(|kind| {
        let known = review.snapshot.controller(&link.name, &link.uid);
        known.is_some_and(|known| known.allows(&request.action.verb, kind, request.action.subresource.as_deref()))
    });
    if allows {
        review.decision.by = Some(format!("Controller/{}", link.name).into());
    } else {
        let text = format!("{} has no role that may {} {}", link.name, request.action.verb, request.action.kind);
        review.deny(Code::MissingRole, "subject", text);
    }
    native(review);
}

/// Whether `person` could do the action themselves (P31).
pub(super) fn could(review: &Review<'_>, person: &str) -> bool {
    matches!(search(review, person), Found::Role(..))
}

/// Whether `person` has another right on the same things.
pub(super) fn may(review: &Review<'_>, person: &str, verb: &Verb) -> bool {
    review.kind.is_some_and(|kind| may_on(review, person, verb, kind))
}

/// Whether `person` has that right on that kind, in the same repository.
pub(super) fn may_on(review: &Review<'_>, person: &str, verb: &Verb, kind: Kind) -> bool {
    matches!(search_for(review, person, verb, kind), Found::Role(..))
}

/// The person of that name, where they are active.
fn active<'a>(review: &Review<'a>, person: &str) -> Option<Person<'a>> {
    review.person(person).filter(|person| person.user.spec.state == UserState::Active)
}

/// Whether `person` is active, and in one of the teams or has one of the roles; without any of them, an admin of the organization.
pub(super) fn is_among(review: &Review<'_>, person: &str, approvers: &Approvers) -> bool {
    let Some(person) = active(review, person) else { return false };
    let user = person.user;
    if approvers.roles.is_empty() && approvers.teams.is_empty() {
        return user.spec.admin;
    }
    let named = |names: &[String], name: &str| names.iter().any(|it| it == name);
    if user.spec.admin && named(&approvers.roles, Template::OrgAdmin.as_str()) {
        return true;
    }
    person.rights().any(|held| match &held.item {
        Item::Team(team) => named(&approvers.teams, team.metadata.name.as_deref().unwrap_or_default()),
        Item::AgentRoleBinding(binding) => {
            let status = binding.status.as_ref();
            binding.spec.role_ref.kind == RoleKind::RoleTemplate
                && named(&approvers.roles, &binding.spec.role_ref.name)
                && status.is_some_and(|it| it.phase == AgentRoleBindingPhase::Synced)
                // P20: a person who was made again under the same name inherits nothing.
                && status.is_some_and(|it| it.subject_uid.is_some() && it.subject_uid == user.metadata.uid)
        }
        _ => false,
    })
}

/// What Kubernetes said to that question, and to no other: no where one answer is no, yes where all are and none is older than 30 seconds. `None` is that nobody
/// knows, as for a subject that has no name in Kubernetes.
pub(crate) fn answer(request: &Request, question: Option<&NativeQuestion>) -> Option<bool> {
    let mut found = None;
    for answer in request.native.iter().filter(|answer| Some(&answer.asked) == question) {
        let age = request.now.signed_duration_since(answer.at).num_milliseconds();
        if !answer.allowed {
            return Some(false);
        }
        if !(0..=MAX_ANSWER_AGE_SECONDS.saturating_mul(1000)).contains(&age) {
            return None;
        }
        found = Some(true);
    }
    found
}

fn native(review: &mut Review<'_>) {
    let (request, snapshot) = (review.request, review.snapshot);
    if snapshot.is_native_asked() {
        review.decision.native = "asked";
    } else if request.native.is_empty() {
        return;
    }
    match answer(request, question(request, snapshot).as_ref()) {
        Some(true) => {}
        Some(false) => review.deny(Code::NativeRbacDenied, "native", "Kubernetes says no"),
        None if snapshot.is_native_asked() => {
            let text = "no answer of the last 30 seconds is there for this question";
            review.deny(Code::NativeRbacUnavailable, "native", text);
        }
        None => {}
    }
}

fn search(review: &Review<'_>, person: &str) -> Found {
    let Some(kind) = review.kind else { return Found::Nothing };
    search_for(review, person, &review.request.action.verb, kind)
}

fn search_for(review: &Review<'_>, person: &str, verb: &Verb, kind: Kind) -> Found {
    let (request, snapshot, namespace) = (review.request, review.snapshot, review.namespace);
    let Some(person) = active(review, person) else { return Found::Nothing };
    let user = person.user;
    if user.spec.admin && Template::OrgAdmin.allows(verb, kind) {
        return Found::Role(user.version.clone(), None);
    }
    let uid = user.metadata.uid.as_deref();
    let mut drifted = None;
    let mut judge = |held: &Held, owner: Option<&str>| -> Option<Arc<Version>> {
        let version = &held.version;
        match &held.item {
            Item::AgentRoleBinding(binding) if binding_allows(review, binding, verb, kind, owner) => {
                let phase = binding.status.as_ref().map(|status| &status.phase);
                match phase {
                    Some(AgentRoleBindingPhase::Synced) => return Some(version.clone()),
                    Some(AgentRoleBindingPhase::Drifted) => drifted = Some(version.clone()),
                    _ => {}
                }
                None
            }
            Item::RepositoryPermission(permission) => {
                let repository = request.repository.as_ref()?;
                let template = Template::of(in_force(permission, repository)?)?;
                template.allows(verb, kind).then(|| version.clone())
            }
            Item::Team(team) => {
                let repository = request.repository.as_ref()?;
                let template = Template::of(given(team, repository)?)?;
                template.allows(verb, kind).then(|| version.clone())
            }
            _ => None,
        }
    };
    for held in person.rights() {
        if let Some(found) = judge(held, uid) {
            return Found::Role(found, None);
        }
        if let Item::Team(team) = &held.item {
            let name = team.metadata.name.as_deref().unwrap_or_default();
            let mut of_team = snapshot.rights(namespace, "team", name);
            if let Some(found) = of_team.find_map(|given| judge(given, team.metadata.uid.as_deref())) {
                return Found::Role(found, Some(held.version.clone()));
            }
        }
    }
    drifted.map_or(Found::Nothing, Found::Drifted)
}

/// Whether the binding is this subject's, reaches the request and has the verb; its phase is not looked at.
fn binding_allows(
    review: &Review<'_>,
    binding: &AgentRoleBinding,
    verb: &Verb,
    kind: Kind,
    owner: Option<&str>,
) -> bool {
    let request = review.request;
    let Some(status) = binding.status.as_ref() else { return false };
    // P20: a subject that was made again under the same name inherits nothing.
    if status.subject_uid.is_none() || status.subject_uid.as_deref() != owner {
        return false;
    }
    let scope = &binding.spec.scope;
    let reaches = match (&scope.kind, scope.name.as_deref()) {
        (ScopeKind::Organization, _) => true,
        // P20: the repository that was bound, by id.
        (ScopeKind::Repository, _) => {
            let bound = status.repository_uid.as_deref();
            bound.is_some() && bound == request.repository.as_ref().map(|repository| &*repository.uid)
        }
        (ScopeKind::Environment, Some(name)) => request.environment.as_deref() == Some(name),
        _ => false,
    };
    let role = &binding.spec.role_ref;
    reaches
        && match role.kind {
            RoleKind::RoleTemplate => Template::from_text(&role.name).allows(verb, kind),
            RoleKind::Role | RoleKind::ClusterRole => binding.spec.resource_rules.iter().any(|rule| {
                let named = |name: &str| rule.resource_names.contains(name);
                rule.api_groups.contains(GROUP)
                    && rule.resources.contains(kind.info().plural)
                    && rule.verbs.contains(verb.as_str())
                    && (rule.resource_names.is_empty()
                        || request.object.as_ref().is_some_and(|object| named(&object.name)))
            }),
            _ => false,
        }
}

/// The permission on that repository, by uid (P20), where it holds.
fn in_force<'p>(permission: &'p RepositoryPermission, repository: &Named) -> Option<&'p Permission> {
    let status = permission.status.as_ref()?;
    let holds = !permission.spec.revoked
        && status.phase == RepositoryPermissionPhase::Applied
        && status.repository_uid.as_deref() == Some(&*repository.uid);
    holds.then_some(&permission.spec.permission)
}

/// What a team is given on that repository, by uid (P20): one of which no uid was taken down is nobody's yet.
fn given<'t>(team: &'t Team, repository: &Named) -> Option<&'t Permission> {
    let uids = &team.status.as_ref()?.repository_uids;
    let is_this = |grant: &&RepositoryGrant| uids.get(&grant.repository).is_some_and(|uid| **uid == *repository.uid);
    team.spec.repository_grants.iter().filter(is_this).map(|grant| &grant.permission).max()
}

/// The highest permission of a person on a repository.
pub(super) fn permission(review: &Review<'_>, person: &str, repository: &Named) -> Option<Permission> {
    let (snapshot, namespace) = (review.snapshot, review.namespace);
    let person = active(review, person)?;
    if person.user.spec.admin {
        return Some(Permission::Admin);
    }
    let mut best = None;
    for held in person.rights() {
        match &held.item {
            Item::RepositoryPermission(permission) => best = best.max(in_force(permission, repository)),
            Item::Team(team) => {
                best = best.max(given(team, repository));
                let name = team.metadata.name.as_deref().unwrap_or_default();
                for held in snapshot.rights(namespace, "team", name) {
                    if let Item::RepositoryPermission(permission) = &held.item {
                        best = best.max(in_force(permission, repository));
                    }
                }
            }
            _ => {}
        }
    }
    best.filter(|permission| krate_model::ClosedSet::is_known(*permission)).cloned()
}
