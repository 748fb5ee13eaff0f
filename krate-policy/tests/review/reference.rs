//! The specification read slowly: what a review comes to, from documents alone, without a line of the engine's code. It knows persons, agents with
//! subagents, rules, one organization, policies of krate's engine, a secret and a tool.

use krate_policy::decision::Outcome;
use serde_json::Value;
use std::collections::BTreeSet;

use super::{naive::matches, naive::over_matches, naive::selects, world::text, world::texts};

/// A document: kind, name, spec, status.
type Object = (&'static str, String, Value, Value);
pub(crate) type World = Vec<Object>;

fn named<'w>(world: &'w World, kind: &str, name: &str) -> Option<(&'w Value, &'w Value)> {
    world.iter().find(|it| it.0 == kind && it.1 == name).map(|it| (&it.2, &it.3))
}

/// Section 7: a level as a number, `maintainer` the highest.
fn level(name: &str) -> usize {
    let levels = ["anonymous", "external", "first-time", "contributor", "member", "maintainer"];
    levels.iter().position(|level| *level == name).expect("a level")
}

/// The permission of a person on the repository: the highest that is applied to it; none for who is suspended.
fn permission(world: &World, person: &str, repository: &str) -> usize {
    let is_of = |it: &&Object| {
        let own = it.2["subject"]["name"] == person && it.2["repository"] == repository && it.2["revoked"] != true;
        it.0 == "RepositoryPermission" && own && it.3["phase"] == "Applied"
    };
    let order = ["", "read", "triage", "write", "maintain", "admin"];
    let own = world.iter().filter(is_of).filter_map(|it| order.iter().position(|name| it.2["permission"] == *name));
    match named(world, "User", person) {
        Some((user, _)) if user["state"] == "suspended" => 0,
        Some((user, _)) if user["admin"] == true => 5,
        _ => own.max().unwrap_or(0),
    }
}

/// Who an account is verified to be.
fn person_of<'w>(world: &'w World, account: &str) -> Option<&'w str> {
    let is_of = |it: &&Object| it.0 == "IdentityMapping" && it.2["subject"] == account && it.3["phase"] == "Verified";
    world.iter().find(is_of).map(|it| text(&it.2["user"]))
}

/// krate's own word on an account: by a verified mapping, and that person's permission. Where there is no repository, a known person is a contributor.
fn own_level(world: &World, account: &str, repository: &str) -> Option<usize> {
    match permission(world, person_of(world, account)?, repository) {
        0 if !repository.is_empty() => None,
        3 => Some(level("member")),
        4 | 5 if !repository.is_empty() => Some(level("maintainer")),
        _ => Some(level("contributor")),
    }
}

/// The lower of the provider's word and krate's.
fn actor_level(world: &World, actor: &Value, event: &str, repository: &str) -> usize {
    let Some(account) = actor["account"]["id"].as_str() else { return level("anonymous") };
    let own = own_level(world, account, repository);
    let ceiling = match text(&actor["association"]) {
        _ if event == "manual" => return own.unwrap_or(level("external")),
        "OWNER" | "MEMBER" | "COLLABORATOR" => level("maintainer"),
        "CONTRIBUTOR" => level("contributor"),
        "FIRST_TIME_CONTRIBUTOR" | "FIRST_TIMER" => level("first-time"),
        _ => level("external"),
    };
    ceiling.min(own.unwrap_or(level("contributor")))
}

/// Gate, steering and fork of the one cause.
fn trust(world: &World, cause: &Value, repository: &str) -> (usize, usize, bool) {
    let actor = |actor| actor_level(world, actor, text(&cause["event"]), repository);
    let gate = actor(&cause["gate"]);
    let mut lowest: Vec<usize> = cause["steering"].as_array().into_iter().flatten().map(actor).collect();
    // Who applies a label says only that it is done; whose text it is about steers.
    let [label, pull] = ["label", "pull-request"].map(|event| cause["event"] == event);
    let low = |is: bool| level(if is { "external" } else { "maintainer" });
    let (proven, unsaid) = (low(cause["verified"] != true), low(lowest.is_empty() && (label || pull)));
    lowest.extend([unsaid, if label { proven } else { gate }, proven]);
    let (head, base) = (&cause["head"]["repositoryId"], &cause["base"]["repositoryId"]);
    let fork = (head.is_null() || head != base) && (pull || cause.get("head").or(cause.get("base")).is_some());
    (gate.min(proven), lowest.into_iter().min().unwrap_or(0), fork)
}

/// Section 8, for the verbs and kinds that are generated: the least permission that has them.
fn needed(verb: &str, kind: &str) -> usize {
    match (verb, kind) {
        ("get", _) => 1,
        ("update", "Issue") => 3,
        ("merge", "PullRequest") | ("dispatch", "AgentStack") => 4,
        _ => 5,
    }
}

/// Section 5: what one grant says, as its place in the order of P19 and its code; the last place is a yes.
fn grant(it: &Object, request: &Value, need: &Value, agent: &[&Value], trust: (bool, bool)) -> (usize, &'static str) {
    let ((_, _, spec, status), (untrusted, fork)) = (it, trust);
    let lists = |list: &Value, it: &Value| it.as_str().map_or(texts(list).is_empty(), |it| texts(list).contains(&it));
    let (refs, found) = (&spec["allowedRefs"], &request["ref"]);
    let ref_fits = if found.is_null() { refs.is_null() } else { selects(refs, found, [matches, over_matches]) };
    // P20: by id; one of which no uid was taken down is pending.
    let (repository, repositories) = (&request["repository"], texts(&spec["allowedRepositories"]));
    let is_this = |name: &&str| status["repositoryUids"][*name] == repository["uid"];
    let is_bound = repository["uid"].is_string() && repositories.iter().any(is_this);
    let (name, secrets) = (text(&repository["name"]), agent.first().map_or(&Value::Null, |it| &it["secretPolicy"]));
    let is_pending = !is_bound && repositories.contains(&name) && status["repositoryUids"][name].is_null();
    let by_reference = ["", "never-mount-pass-by-reference"].contains(&text(&spec["mountPolicy"]));
    let listed = texts(&secrets["allowedSecretRefs"]).is_empty() || lists(&secrets["allowedSecretRefs"], &need["name"]);
    let (mismatch, uses) = ("GrantScopeMismatch", status["uses"].as_i64());
    let is_for = status["subjectUid"] == need["user"]["uid"] && spec["purpose"] == need["purpose"];
    let in_scope = lists(&spec["secretRef"]["keys"], &need["key"])
        && lists(&spec["allowedEnvironments"], &request["environment"])
        && lists(&spec["allowedTriggerSources"], &request["triggerSource"]);
    let checks = [
        (is_for && (is_bound || is_pending) && ref_fits && in_scope, mismatch),
        (status["phase"] != "Pending" && !is_pending, "GrantNotReady"),
        (spec["revoked"] != true, "GrantRevoked"),
        (spec["expiresAt"].as_str().is_none_or(|end| text(&request["now"]) < end), "GrantExpired"),
        (spec["maxUses"].as_i64().is_none_or(|most| uses < Some(most)), "GrantExhausted"),
        // P24: grant and stack name fork use; P25: what is the stack's is no subagent's.
        (!fork || spec["allowForkCauses"] == true && by_reference && secrets["allowOnForks"] == true, "UntrustedCause"),
        (agent.len() < 2 && listed, mismatch),
    ];
    match (checks.iter().position(|(holds, _)| !holds), text(&spec["requiredApproval"])) {
        (Some(at), _) => (at, checks[at].1),
        (_, "never") if !fork && (!untrusted || by_reference) => (21, ""),
        (_, "" | "on-untrusted-ref") if !fork && !untrusted => (21, ""),
        _ => (20, "ApprovalRequired"),
    }
}

/// P20: the object of that name, if it is still the one with that uid.
fn by_uid<'w>(world: &'w World, kind: &str, of: &Value) -> Option<(&'w Value, &'w Value)> {
    named(world, kind, text(&of["name"])).filter(|_| of["uid"] == format!("u-{}", text(&of["name"])))
}

/// Step 3 for agents: the specs of all that acts, the stack's first; what is wrong with them goes to the codes.
fn agent<'w>(world: &'w World, request: &Value, chain: &[Value], codes: &mut BTreeSet<&'static str>) -> Vec<&'w Value> {
    let acting = chain.iter().find(|link| link["kind"] == "agent-stack").or(request.get("agentStack"));
    let Some(acting) = acting else { return vec![] };
    let Some((stack, status)) = by_uid(world, "AgentStack", acting) else {
        codes.insert("UnknownSubject");
        return vec![];
    };
    let account = named(world, "AgentServiceAccount", text(&stack["runtimeIdentity"]["serviceAccountRef"]));
    codes.extend((status["phase"] != "Ready").then_some("StackNotReady"));
    codes.extend(account.is_none_or(|(_, status)| status["phase"] != "Ready").then_some("IdentityNotReady"));
    let by_rule = chain.iter().any(|link| link["by"] == "rule");
    let (rule, dispatched) = (&request["causeChain"][0]["rule"], request["action"]["verb"] == "dispatch");
    let needs_rule = by_rule && rule.is_null() || !rule.is_null() && (dispatched || chain.len() > 1);
    let lends = named(world, "AgentTriggerRule", text(rule)).is_some_and(|(spec, status)| {
        let in_force = spec["lifecycleState"] == "active" && status["phase"] == "Active";
        let by_owner = chain.len() == 1 || chain[chain.len() - 2]["by"] == "rule";
        let owns = by_owner && spec["owner"]["name"] == chain[chain.len() - 1]["name"];
        owns && (in_force || !dispatched) && spec["agentStack"] == acting["name"]
    });
    codes.extend((needs_rule && !lends).then_some("DelegationDenied"));
    let mut layers = vec![stack];
    for link in chain.iter().rev().filter(|link| link["kind"] == "subagent") {
        let found = by_uid(world, "AgentSubagent", link);
        let is_own = texts(&stack["subagentRefs"]).contains(&text(&link["name"]));
        codes.extend(match found {
            Some((_, status)) if is_own => (status["phase"] != "Ready").then_some("StackNotReady"),
            found => Some(if found.is_some() { "DelegationDenied" } else { "UnknownSubject" }),
        });
        layers.extend(found.map(|(subagent, _)| subagent));
    }
    layers
}

/// P26: what one layer's profile says of the tool `git`.
fn tool(world: &World, layer: &Value) -> (usize, &'static str) {
    let profile = named(world, "AgentToolProfile", text(&layer["toolProfileRef"]));
    let profile = profile.filter(|(spec, status)| status["phase"] == "Ready" && spec["nativeTools"]["git"] == true);
    match profile.and_then(|(spec, _)| spec["approvalPolicyByTool"]["git"].as_str()) {
        Some("allow") => (21, ""),
        Some("prompt") => (20, "ApprovalRequired"),
        _ => (0, "ToolDenied"),
    }
}

/// Step 5: whether a rule takes its cause, as far as who is behind it is concerned.
fn takes(world: &World, rule: &Value, cause: &Value, (gate, fork): (usize, bool)) -> bool {
    let (actors, account) = (&rule["match"]["actors"], text(&cause["gate"]["account"]["id"]));
    let such = |word: &Value, is: bool| *word == "any" || *word == if is { "only" } else { "never" };
    let (bare, person) = (format!("ext:{account}"), person_of(world, account));
    let (include, exclude) = (texts(&actors["include"]), texts(&actors["exclude"]));
    let is_active = |it| named(world, "User", it).is_some_and(|(user, _)| user["state"] == "active");
    let included = include.is_empty() || include.iter().any(|it| matches(it, person.unwrap_or(&bare)));
    let excluded = |name: &str| exclude.iter().any(|it| over_matches(it, name));
    let is_one = included && !excluded(&bare) && person.is_none_or(|it| !excluded(it) && is_active(it));
    let listed = include.is_empty() && exclude.is_empty() || !account.is_empty() && is_one;
    let fits = such(&rule["match"]["fork"], fork) && such(&actors["automation"], false);
    fits && listed && gate >= level(text(&actors["minLevel"]))
}

/// Step 4: the code that a policy comes to, if it holds for the request.
fn policy(world: &World, binding: &Value, request: &Value, (steering, fork): (usize, bool)) -> Option<&'static str> {
    let (scope, action) = (&binding["match"], &request["action"]);
    let fits = |list: &Value, value: &Value| {
        texts(list).is_empty() || texts(list).iter().any(|name| over_matches(name, text(value)))
    };
    let refs = &scope["refs"];
    let ref_fits = refs.is_null() || selects(refs, &request["ref"], [over_matches, matches]);
    let in_scope = fits(&scope["repositories"], &request["repository"]["name"])
        && fits(&scope["environments"], &request["environment"]);
    if binding["suspend"] == true || !ref_fits || !in_scope {
        return None;
    }
    let mut effect = "deny";
    // One whose template isn't there can't be judged, and denies.
    if let Some((template, _)) = named(world, "PolicyTemplate", text(&binding["templateRef"])) {
        let rule = &template["krate"];
        let about = texts(&template["targetKinds"]).contains(&text(&action["kind"]));
        let verb = texts(&rule["verbs"]).is_empty() || texts(&rule["verbs"]).contains(&text(&action["verb"]));
        let low = rule["minTrust"].as_str().is_none_or(|least| fork || steering < level(least));
        if !about || !verb || !low {
            return None;
        }
        effect = text(&rule["effect"]);
    }
    Some(match (text(&binding["mode"]), effect) {
        ("audit", _) => "WouldDeny",
        (_, "deny") => "ExplicitDeny",
        _ => "ApprovalRequired",
    })
}

/// The outcome that codes come to.
fn told(codes: BTreeSet<&str>) -> (Outcome, BTreeSet<String>) {
    let denies = |code: &&str| !["WouldDeny", "ApprovalRequired"].contains(code);
    let outcome = match codes.contains("ApprovalRequired") {
        _ if codes.iter().any(denies) => Outcome::Denied,
        true => Outcome::RequiresApproval,
        false => Outcome::Allowed,
    };
    (outcome, codes.into_iter().map(str::to_owned).collect())
}

/// Section 3: the outcome, and the codes.
pub(crate) fn reference(world: &World, request: &Value) -> (Outcome, BTreeSet<String>) {
    let mut codes: BTreeSet<&str> = BTreeSet::new();
    let repository = text(&request["repository"]["name"]);
    let other = !request["repository"].is_null() && request["repository"]["uid"] != format!("u-{repository}");
    let is_unknown = |stack| by_uid(world, "AgentStack", stack).is_none();
    if other || request.get("agentStack").is_some_and(is_unknown) {
        return told(["CrossOrgDenied"].into());
    }
    // Step 3.
    let chain = request["actorChain"].as_array().cloned().unwrap_or_default();
    let links: BTreeSet<String> = chain.iter().map(|link| format!("{}{}", link["kind"], link["uid"])).collect();
    if links.len() < chain.len() {
        return told(["BrokenActorChain"].into());
    }
    if !chain.windows(2).all(|pair| pair[1]["kind"] == "user" || pair[0]["by"] == "delegation") {
        return told(["DelegationDenied"].into());
    }
    let last = chain.last().cloned().unwrap_or_default();
    let user = by_uid(world, "User", &last).map(|(spec, _)| spec);
    codes.extend(user.is_none().then_some("UnknownSubject"));
    codes.extend(user.is_some_and(|user| user["state"] == "suspended").then_some("SubjectSuspended"));
    let agent = agent(world, request, &chain, &mut codes);
    if !codes.is_empty() {
        return told(codes);
    }
    let cause = &request["causeChain"][0];
    let (gate, steering, fork) = trust(world, cause, repository);
    let of = |it: &Object| (it.0 == "PolicyBinding").then(|| policy(world, &it.2, request, (steering, fork))).flatten();
    codes.extend(world.iter().filter_map(of));
    let (verb, kind) = (text(&request["action"]["verb"]), text(&request["action"]["kind"]));
    // P57: who starts something has looked whether what led to it still holds.
    let (seen, head, starts) = (&request["preconditions"], &cause["head"]["sha"], verb == "dispatch");
    let moved = !head.is_null() && seen["headSha"] != *head && (starts || !seen["headSha"].is_null());
    let gone = seen["causePresent"] != true && (!seen["causePresent"].is_null() || starts && cause["event"] == "label");
    codes.extend((moved || gone).then_some("CauseGone"));
    codes.extend((chain.len() > 1 && ["update", "merge"].contains(&verb)).then_some("ApprovalRequired")); // P58
    let rule = named(world, "AgentTriggerRule", text(&cause["rule"])).filter(|_| !agent.is_empty() && starts);
    let refused = rule.is_some_and(|(rule, _)| !takes(world, rule, cause, (gate, fork)));
    codes.extend((refused || gate < level("external")).then_some("UntrustedCause"));
    codes.extend((permission(world, text(&last["name"]), repository) < needed(verb, kind)).then_some("MissingRole"));
    for need in request["needs"].as_array().into_iter().flatten() {
        let untrusted = fork || steering < level("member");
        let (place, code) = if need["type"] == "tool" {
            agent.iter().map(|layer| tool(world, layer)).min().unwrap_or((0, "ToolDenied"))
        } else {
            let of = |it: &&Object| it.0 == "AgentSecretGrant" && it.2["subject"]["name"] == need["user"]["name"];
            let can_fit = |it: &&Object| !texts(&it.2["allowedRepositories"]).is_empty();
            let grants = world.iter().filter(of).filter(can_fit);
            let judged = grants.map(|it| grant(it, request, need, &agent, (untrusted, fork)));
            judged.max_by_key(|(place, _)| *place).unwrap_or((0, "MissingSecretGrant"))
        };
        codes.extend((place < 21).then_some(code));
    }
    // P51: what is set to work has all that it names.
    if let (Some(stack), "dispatch") = (agent.first(), verb) {
        let there = |kind, name: &str| name.is_empty() || named(world, kind, name).is_some();
        let all = texts(&stack["subagentRefs"]).iter().all(|name| there("AgentSubagent", name));
        codes.extend((!all || !there("AgentToolProfile", text(&stack["toolProfileRef"]))).then_some("StackNotReady"));
    }
    told(codes)
}
