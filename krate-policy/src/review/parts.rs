//! The MCP servers and skills of an agent: its organization's own, by name, and what another organization shares with it, as `<organization>/<name>` (R4, R34).

use std::collections::BTreeSet;
use std::sync::Arc;

use krate_model::Kind;
use krate_model::kinds::identity::SharedVerb;
use krate_model::kinds::tools::{
    AgentMcpServer, AgentMcpServerPhase, AgentSkill, AgentSkillPhase, McpHealth, McpScope,
};

use super::agents::{Agent, Layer};
use super::{Review, scope};
use crate::decision::Version;
use crate::request::Need;
use crate::snapshot::Kept;

/// A server or a skill that all that acts may name.
pub(super) struct Part<'a, R> {
    pub(super) object: &'a R,
    pub(super) version: Arc<Version>,
    is_shared: bool,
}

/// Why a part of another organization isn't given although it is shared: its secrets stay where they are (R4).
const NEEDS_ITS_OWN: &str = "needs a Secret or a ConfigMap of its own organization, and those are never shared";

/// Looks a part up: whether it acts for this agent is another question.
pub(super) fn find<'a, R: Kept>(review: &Review<'a>, name: &str) -> Option<Part<'a, R>> {
    let Some((owner, bare)) = name.split_once('/') else {
        let found = review.snapshot.get::<R>(review.namespace, name)?;
        return Some(Part { object: found.object, version: Arc::clone(found.version), is_shared: false });
    };
    // P6: what isn't shared is as what isn't there.
    scope::shared(review, owner, R::KIND.as_str(), bare, &SharedVerb::Reference)?;
    let found = review.snapshot.get::<R>(review.snapshot.namespace_of(owner)?, bare)?;
    Some(Part { object: found.object, version: scope::foreign(owner, found.version), is_shared: true })
}

/// Whether every layer names the part (P25).
pub(super) fn is_named<R: Kept>(agent: &Agent<'_>, name: &str) -> bool {
    agent.layers.iter().all(|layer| layer.names(R::KIND, name))
}

fn named<'a, R: Kept>(review: &Review<'a>, agent: &Agent<'_>, name: &str) -> Result<Part<'a, R>, &'static str> {
    if !is_named::<R>(agent, name) {
        return Err("isn't among those of everything that acts");
    }
    find(review, name).ok_or("isn't there")
}

impl Layer<'_> {
    /// The names of its own organization's parts of that kind.
    fn own(&self, kind: Kind) -> &BTreeSet<String> {
        if kind == Kind::AgentMcpServer { self.servers } else { self.skills }
    }

    fn names(&self, kind: Kind, name: &str) -> bool {
        match name.split_once('/') {
            None => self.own(kind).contains(name),
            Some((owner, bare)) => {
                self.shared.iter().any(|it| it.organization == owner && it.kind == kind.as_str() && it.name == bare)
            }
        }
    }
}

/// Whether the server may be used: every layer names it, it is Ready, and for this repository and stack.
pub(super) fn server<'a>(
    review: &Review<'a>,
    agent: &Agent<'_>,
    name: &str,
) -> Result<Part<'a, AgentMcpServer>, &'static str> {
    let server = named::<AgentMcpServer>(review, agent, name)?;
    let (spec, status) = (&server.object.spec, server.object.status.as_ref());
    let healthy = status.is_some_and(|status| {
        let up = matches!(status.health, None | Some(McpHealth::Ready | McpHealth::Degraded));
        status.phase == AgentMcpServerPhase::Ready && up
    });
    if spec.suspend || !healthy {
        return Err("isn't Ready");
    }
    if server.is_shared
        && !(spec.secret_refs.is_empty()
            && spec.config_refs.is_empty()
            && spec.env_from.is_empty()
            && spec.headers_from.is_empty())
    {
        return Err(NEEDS_ITS_OWN);
    }
    // Stacks and repositories that it lists are its own organization's.
    let of_stack = !server.is_shared && spec.allowed_agent_stacks.contains(agent.name());
    let repository = review.request.repository.as_ref().filter(|_| !server.is_shared);
    let of_repository = repository.is_some_and(|it| spec.repositories.contains(&*it.name));
    let fits = match spec.scope {
        McpScope::Organization => of_stack || spec.allowed_agent_stacks.is_empty(),
        McpScope::Repository => of_repository && (of_stack || spec.allowed_agent_stacks.is_empty()),
        McpScope::Stack => of_stack,
        _ => false,
    };
    if fits { Ok(server) } else { Err("isn't for this stack and repository") }
}

/// Whether the skill may be used: every layer names it, it is Ready, and for this stack and task.
pub(super) fn skill(review: &Review<'_>, agent: &Agent<'_>, name: &str) -> Result<Arc<Version>, &'static str> {
    let skill = named::<AgentSkill>(review, agent, name)?;
    let spec = &skill.object.spec;
    let fits = |list: &BTreeSet<String>, found: Option<&str>| {
        list.is_empty() || found.is_some_and(|found| list.contains(found))
    };
    if skill.object.status.as_ref().is_none_or(|status| status.phase != AgentSkillPhase::Ready) {
        return Err("isn't Ready");
    }
    if skill.is_shared && !(spec.required_secret_refs.is_empty() && spec.required_config_refs.is_empty()) {
        return Err(NEEDS_ITS_OWN);
    }
    let own = Some(agent.name()).filter(|_| !skill.is_shared);
    if !fits(&spec.allowed_agent_stacks, own)
        || !fits(&spec.compatible_base_agents, Some(&agent.stack.spec.base_agent))
        || !fits(&spec.task_kinds, review.request.task_kind.as_deref())
    {
        return Err("isn't for this stack and task");
    }
    Ok(skill.version)
}

/// The policies that share what a need names, where another organization owns it.
pub(super) fn sharing(review: &Review<'_>, need: &Need) -> Option<scope::Shared> {
    let (kind, name) = match need {
        Need::McpServer { name } | Need::Tool { server: Some(name), .. } => (Kind::AgentMcpServer, name),
        Need::Skill { name } => (Kind::AgentSkill, name),
        _ => return None,
    };
    let (owner, bare) = name.split_once('/')?;
    scope::shared(review, owner, kind.as_str(), bare, &SharedVerb::Reference)
}
