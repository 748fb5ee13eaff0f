//! Step 7 for what an agent works with: tools, servers, skills, hosts, paths, pools, memory and write-back targets. Nothing is given that not every layer of
//! the chain has (P25, P26), and nothing at all to who is no agent.

use std::sync::Arc;

use krate_model::kinds::forge::Repository;
use krate_model::kinds::sets::Visibility;
use krate_model::kinds::shared::PathFilter;
use krate_model::kinds::tools::{AgentMemorySource, AgentMemorySourcePhase, FilesystemPolicy, McpApproval};

use super::agents::{self, Agent};
use super::{Review, parts, role};
use crate::command::Argv;
use crate::decision::{NeedOutcome, Outcome, Version};
use crate::host::Destination;
use crate::paths::{EntryKind, classes};
use crate::pattern::{Domain, Filter, Selection};
use crate::reason::{Code, Reason};
use crate::request::Need;
use crate::roles::right_of_action;
use crate::snapshot::Item;
use crate::tools::{Tools, Verdict};

/// What gave it, and whether a person has to agree first; or the code and the text of the no.
type Answer = Result<(Arc<Version>, Outcome), (Code, String)>;

/// Judges a need that is no secret and no configuration.
pub(super) fn judge(review: &mut Review<'_>, need: &Arc<Need>) {
    let answer = match (&review.agent, &**need) {
        // P11: nobody knows what somebody without a stack may use.
        (None, Need::Pool { name }) => {
            agents::pool(review, name).map(|by| (by, Outcome::Allowed)).map_err(|(code, text)| (code, text.to_owned()))
        }
        (None, need) => Err((code(need), "no agent's stack is named that would have it".to_owned())),
        (Some(agent), need) => for_agent(review, agent, need),
    };
    let (outcome, by) = match answer {
        Ok((by, outcome)) => {
            let name = by.name.clone();
            review.used(&by, None);
            if let Some(shared) = parts::sharing(review, need) {
                shared.used(review);
            }
            (outcome, Some(name))
        }
        Err((code, text)) => {
            review.say(Reason::new(code, "needs", format!("{}: {text}", name(need))).by(stack(review)));
            (Outcome::Denied, None)
        }
    };
    if let Need::Tool { command, line, .. } = &**need
        && outcome != Outcome::Denied
        && argv(command, line.as_deref()).is_ok_and(|argv| argv.is_some_and(|argv| argv.is_shell()))
    {
        let text = "runs anything: its arguments confine nothing, the sandbox and the network policy do (P59)";
        review.say(Reason::new(Code::ToolDenied, "needs", text).warning().by(stack(review)));
    }
    review.decision.per_need.push(NeedOutcome { need: Arc::clone(need), outcome, by, approval: None });
}

fn stack(review: &Review<'_>) -> Arc<str> {
    review.agent.as_ref().map_or_else(Arc::default, |agent| agent.stack.version.name.clone())
}

fn name(need: &Need) -> &str {
    match need {
        Need::Secret { name, .. }
        | Need::Config { name, .. }
        | Need::Tool { name, .. }
        | Need::McpServer { name }
        | Need::Skill { name }
        | Need::Pool { name } => name,
        Need::Host { host, .. } => host,
        Need::Path { path, .. } | Need::Memory { path, .. } => path,
        Need::Target { action } => action,
    }
}

/// The code of a no to such a need.
const fn code(need: &Need) -> Code {
    match need {
        Need::Secret { .. } => Code::MissingSecretGrant,
        Need::Config { .. } => Code::MissingConfigGrant,
        Need::Tool { .. } => Code::ToolDenied,
        Need::McpServer { .. } => Code::McpServerNotReady,
        Need::Skill { .. } => Code::SkillDenied,
        Need::Host { .. } => Code::NetworkDenied,
        Need::Path { .. } => Code::PathDenied,
        Need::Pool { .. } => Code::PoolDenied,
        Need::Memory { .. } => Code::MemoryScopeDenied,
        Need::Target { .. } => Code::TargetDenied,
    }
}

fn for_agent(review: &Review<'_>, agent: &Agent<'_>, need: &Need) -> Answer {
    let no = |text: &str| Err((code(need), text.to_owned()));
    match need {
        Need::Secret { .. } | Need::Config { .. } => no("is judged by its grant"),
        Need::Tool { name, server, command, line } => {
            let command = match argv(command, line.as_deref()) {
                Ok(command) => command,
                Err(text) => return no(&text),
            };
            match server {
                None => own_tool(review, agent, name, command.as_ref()),
                Some(server) => tool_of_server(review, agent, server, name),
            }
        }
        Need::McpServer { name } => match parts::server(review, agent, name) {
            Ok(server) => Ok((server.version, Outcome::Allowed)),
            Err(text) => no(text),
        },
        Need::Skill { name } => match parts::skill(review, agent, name) {
            Ok(skill) => Ok((skill, Outcome::Allowed)),
            Err(text) => no(text),
        },
        Need::Host { host, address } => {
            let Ok(to) = Destination::parse(host) else { return no("is no host") };
            let mut by = None;
            for layer in layers(review, agent) {
                let Some(tools) = layer else { return no("something that acts has no tool profile") };
                if !tools.host(&to, *address) {
                    return no("the tool profile doesn't let bytes go there");
                }
                by.get_or_insert_with(|| tools.version.clone());
            }
            let asks = review.trust.is_untrusted() && !is_public(review);
            let outcome = if asks { Outcome::RequiresApproval } else { Outcome::Allowed };
            by.map_or_else(|| no("the stack has no tool profile"), |by| Ok((by, outcome)))
        }
        Need::Path { path, write, entry } => at_path(review, agent, path, *write, entry),
        Need::Pool { name } => {
            agents::pool(review, name).map(|by| (by, Outcome::Allowed)).map_err(|(code, text)| (code, text.to_owned()))
        }
        Need::Memory { source, path } => memory(review, agent, source, path),
        Need::Target { action } => target(review, agent, action),
    }
}

fn argv(command: &[Box<str>], line: Option<&str>) -> Result<Option<Argv>, String> {
    let read = match (command, line) {
        ([], None) => return Ok(None),
        ([], Some(line)) => Argv::from_line(line),
        (words, _) => Argv::new(words.iter().map(|word| String::from(&**word)).collect()),
    };
    read.map(Some).map_err(|error| format!("the command {error} (P18)"))
}

/// The profiles of everything that acts, the stack's first.
fn layers<'r>(review: &'r Review<'_>, agent: &'r Agent<'_>) -> impl Iterator<Item = Option<&'r Tools>> {
    agent.layers.iter().map(|layer| review.snapshot.tools(review.namespace, layer.profile?))
}

fn own_tool(review: &Review<'_>, agent: &Agent<'_>, name: &str, command: Option<&Argv>) -> Answer {
    let mut worst = (Verdict::Allowed, None);
    for (layer, tools) in agent.layers.iter().zip(layers(review, agent)) {
        let Some(tools) = tools else {
            return Err((Code::ToolDenied, format!("{} has no tool profile", layer.name)));
        };
        let verdict = command.map_or_else(|| tools.tool(name), |argv| tools.command(name, argv));
        if worst.1.is_none() || verdict > worst.0 {
            worst = (verdict, Some(tools.version.clone()));
        }
    }
    answer(worst.0, worst.1)
}

fn answer(verdict: Verdict, by: Option<Arc<Version>>) -> Answer {
    match (verdict, by) {
        (Verdict::Denied(text), _) => Err((Code::ToolDenied, text.to_owned())),
        (_, None) => Err((Code::ToolDenied, "nothing has it".to_owned())),
        (Verdict::Ask, Some(by)) => Ok((by, Outcome::RequiresApproval)),
        (Verdict::Allowed, Some(by)) => Ok((by, Outcome::Allowed)),
    }
}

/// A tool of an MCP server: one that a person reviewed, with the schema that they saw (A62).
fn tool_of_server(review: &Review<'_>, agent: &Agent<'_>, server: &str, name: &str) -> Answer {
    let found = match parts::server(review, agent, server) {
        Ok(found) => found,
        Err(text) => return Err((Code::McpServerNotReady, format!("{server} {text}"))),
    };
    let Some(reviewed) = found.object.spec.reviewed_tools.iter().find(|tool| tool.name == name) else {
        return Err((Code::ToolDenied, format!("nobody reviewed this tool of {server}")));
    };
    let status = found.object.status.as_ref();
    let offered = status.and_then(|status| status.discovered_tools.iter().find(|tool| tool.name == name));
    if offered.is_some_and(|offered| offered.schema_digest != reviewed.schema_digest) {
        return Err((Code::ToolDenied, format!("{server} changed it since it was reviewed")));
    }
    let mut verdict = match found.object.spec.approval_policy {
        McpApproval::Allow => Verdict::Allowed,
        McpApproval::Prompt | McpApproval::ReadonlyAutoWritePrompt => Verdict::Ask,
        _ => Verdict::Denied("the server's policy denies it"),
    };
    let full = format!("{server}/{name}");
    for (layer, tools) in agent.layers.iter().zip(layers(review, agent)) {
        verdict = verdict.max(match (layer.profile, tools) {
            (_, Some(tools)) => tools.tool_of_server(&full),
            // Without a profile there is nothing that narrows; one that is named and isn't there may (P11).
            (None, None) => Verdict::Allowed,
            (Some(_), None) => Verdict::Denied("the tool profile isn't there"),
        });
    }
    answer(verdict, Some(found.version))
}

/// Whether anybody may read the repository: what leaves it is no secret then (section 7).
fn is_public(review: &Review<'_>) -> bool {
    let named = review.request.repository.as_ref();
    let found = named.and_then(|named| review.snapshot.get::<Repository>(review.namespace, &named.name));
    found.is_some_and(|repository| repository.spec.visibility == Visibility::Public)
}

fn at_path(review: &Review<'_>, agent: &Agent<'_>, path: &str, write: bool, entry: &EntryKind) -> Answer {
    let no = |text: &str| Err((Code::PathDenied, text.to_owned()));
    let mut by = None;
    for tools in layers(review, agent) {
        let Some(tools) = tools else { return no("something that acts has no tool profile") };
        let may = match tools.files() {
            FilesystemPolicy::WorkspaceWrite => true,
            FilesystemPolicy::ReadOnly => !write,
            _ => false,
        };
        if !may {
            return no("the tool profile doesn't let it be read or written");
        }
        by.get_or_insert_with(|| tools.version.clone());
    }
    if write {
        if let Some(filter) = agent.rule.and_then(|rule| rule.object.spec.write_back_policy.allowed_paths.as_ref())
            && !selects(filter, path)
        {
            return no("is outside of the paths that the rule allows");
        }
        for class in classes(path, entry) {
            if !names_class(agent, &review.request.needs, class) {
                return no(&format!("is of the class {class}, which no write-back target names (P65)"));
            }
        }
    }
    by.map_or_else(|| no("the stack has no tool profile"), |by| Ok((by, Outcome::Allowed)))
}

fn selects(filter: &PathFilter, path: &str) -> bool {
    Filter::new(Some(&filter.include), &filter.exclude, Domain::Path)
        .is_ok_and(|filter| matches!(filter.select(path), Selection::Included(_)))
}

/// Whether the stack, and the rule where there is one, list the class with each action that is asked for (P65).
fn names_class(agent: &Agent<'_>, needs: &[Arc<Need>], class: &str) -> bool {
    let mut asked = needs.iter().filter_map(|need| match &**need {
        Need::Target { action } => Some(action.split('/').next().unwrap_or_default()),
        _ => None,
    });
    let lists = |action: &str| {
        let target = format!("{action}/{class}");
        agent.stack.spec.write_back_policy.allowed_targets.contains(&target)
            && agent.rule.is_none_or(|rule| rule.spec.write_back_policy.allowed_targets.contains(&target))
    };
    let first = asked.next();
    first.is_some_and(lists) && asked.all(lists)
}

fn memory(review: &Review<'_>, agent: &Agent<'_>, source: &str, path: &str) -> Answer {
    let no = |text: &str| Err((Code::MemoryScopeDenied, text.to_owned()));
    if !agent.stack.spec.memory_source_refs.contains(source) {
        return no("the stack doesn't name its memory source");
    }
    let Some(source) = review.snapshot.get::<AgentMemorySource>(review.namespace, source) else {
        return no("its memory source isn't there");
    };
    let (request, to) = (review.request, &source.spec.applies_to);
    let fits = |list: &std::collections::BTreeSet<String>, found: Option<&str>| {
        list.is_empty() || found.is_some_and(|found| list.contains(found))
    };
    let person = request.actor_chain.last().map_or("", |link| &link.name);
    let in_team = to.teams.is_empty()
        || review.snapshot.rights(review.namespace, "user", person).any(|held| match &held.item {
            Item::Team(team) => team.metadata.name.as_deref().is_some_and(|name| to.teams.contains(name)),
            _ => false,
        });
    let somebody = [&to.repositories, &to.teams, &to.stacks, &to.triggers].into_iter().any(|list| !list.is_empty());
    if source.status.as_ref().is_none_or(|status| status.phase != AgentMemorySourcePhase::Ready)
        || !somebody
        || !in_team
        || !fits(&to.repositories, request.repository.as_ref().map(|it| &*it.name))
        || !fits(&to.stacks, Some(agent.name()))
        || !fits(&to.triggers, request.trigger_source.as_deref())
    {
        return no("its memory source isn't for this run");
    }
    let filter = PathFilter { include: source.spec.include.paths.clone(), exclude: source.spec.exclude.paths.clone() };
    if !selects(&filter, path) {
        return no("is outside of what its memory source includes");
    }
    Ok((source.version.clone(), Outcome::Allowed))
}

fn target(review: &Review<'_>, agent: &Agent<'_>, action: &str) -> Answer {
    let no = |text: &str| Err((Code::TargetDenied, text.to_owned()));
    let (bare, _) = action.split_once('/').unwrap_or((action, ""));
    let Some((verb, kind)) = right_of_action(bare) else { return no("is no write-back action") };
    let policy = &agent.stack.spec.write_back_policy;
    if !policy.allowed_targets.contains(action) {
        return no("the stack doesn't list it");
    }
    if agent.rule.is_some_and(|rule| !rule.spec.write_back_policy.allowed_targets.contains(action)) {
        return no("the rule doesn't list it");
    }
    let person = review.request.actor_chain.last().map_or("", |link| &link.name);
    if !role::may_on(review, person, &verb, kind) {
        return no("who it is done for couldn't do it themselves (P61)");
    }
    let asks = policy.require_approval || review.trust.is_untrusted();
    let outcome = if asks { Outcome::RequiresApproval } else { Outcome::Allowed };
    Ok((agent.stack.version.clone(), outcome))
}
