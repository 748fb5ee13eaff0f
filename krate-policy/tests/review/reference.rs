//! The specification read slowly: what a review comes to, from documents alone, in the words of permission-review.md and without a line of the engine's code. It
//! knows persons, agents with subagents, one organization, policies of krate's engine, a secret and a tool.

use std::collections::BTreeSet;

use krate_policy::decision::Outcome;
use serde_json::Value;

/// A document: kind, name, spec, status.
type Object = (&'static str, String, Value, Value);
pub(crate) type World = Vec<Object>;

/// Section 4: segments one by one.
fn matches(pattern: &str, text: &str) -> bool {
    fn go(pattern: &[&str], text: &[&str]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (["**"], text) => !text.is_empty(),
            (["*", pattern @ ..], [_, text @ ..]) => go(pattern, text),
            ([one, pattern @ ..], [other, text @ ..]) => one == other && go(pattern, text),
            _ => false,
        }
    }
    go(&pattern.split('/').collect::<Vec<_>>(), &text.split('/').collect::<Vec<_>>())
}

/// P66: what denies also matches without regard to case.
fn over_matches(pattern: &str, text: &str) -> bool {
    matches(pattern, text) || matches(&pattern.to_lowercase(), &text.to_lowercase())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

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

/// krate's own word on an account: by a verified mapping, and that person's permission. Where there is no repository, a known person is a contributor.
fn own_level(world: &World, account: &str, repository: &str) -> Option<usize> {
    let is_of = |it: &&Object| it.0 == "IdentityMapping" && it.2["subject"] == account && it.3["phase"] == "Verified";
    let person = text(&world.iter().find(is_of)?.2["user"]);
    match permission(world, person, repository) {
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
    let by_gate = cause["event"] != "label";
    let nobody = if lowest.is_empty() { level("external") } else { level("maintainer") };
    let proven = if cause["verified"] == true { level("maintainer") } else { level("external") };
    lowest.extend([if by_gate { gate } else { nobody }, proven]);
    let (head, base) = (&cause["head"]["repositoryId"], &cause["base"]["repositoryId"]);
    let is_about_a_head = cause.get("head").is_some() || cause.get("base").is_some();
    let fork = is_about_a_head && (head.is_null() || head != base);
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

/// Whether a ref is among those that a filter includes, and not among those that it excludes.
fn selects(filter: &Value, found: &Value, [include, exclude]: [fn(&str, &str) -> bool; 2]) -> bool {
    let among = |list: &str, fits: fn(&str, &str) -> bool| texts(&filter[list]).iter().any(|it| fits(it, text(found)));
    !found.is_null() && among("include", include) && !among("exclude", exclude)
}

/// Section 5: what one grant says, as its place in the order of P19 and its code; the last place is a yes.
fn grant(it: &Object, request: &Value, need: &Value, agent: &[&Value], trust: (bool, bool)) -> (usize, &'static str) {
    let ((_, _, spec, status), (untrusted, fork)) = (it, trust);
    let lists = |list: &Value, it: &Value| it.as_str().map_or(texts(list).is_empty(), |it| texts(list).contains(&it));
    let (refs, found) = (&spec["allowedRefs"], &request["ref"]);
    let ref_fits = if found.is_null() { refs.is_null() } else { selects(refs, found, [matches, over_matches]) };
    let in_repository = texts(&spec["allowedRepositories"]).contains(&text(&request["repository"]["name"]));
    let by_reference = spec["mountPolicy"].is_null() || spec["mountPolicy"] == "never-mount-pass-by-reference";
    let secrets = agent.first().map_or(&Value::Null, |stack| &stack["secretPolicy"]);
    let listed = texts(&secrets["allowedSecretRefs"]).is_empty() || lists(&secrets["allowedSecretRefs"], &need["name"]);
    let (mismatch, uses) = ("GrantScopeMismatch", status["uses"].as_i64());
    let checks = [
        (status["subjectUid"] == need["user"]["uid"], mismatch),
        (lists(&spec["secretRef"]["keys"], &need["key"]), mismatch),
        (spec["purpose"] == need["purpose"], mismatch),
        (in_repository, mismatch),
        (ref_fits, mismatch),
        (lists(&spec["allowedEnvironments"], &request["environment"]), mismatch),
        (lists(&spec["allowedTriggerSources"], &request["triggerSource"]), mismatch),
        (status["phase"] != "Pending", "GrantNotReady"),
        (spec["revoked"] != true, "GrantRevoked"),
        (spec["expiresAt"].as_str().is_none_or(|end| text(&request["now"]) < end), "GrantExpired"),
        (spec["maxUses"].as_i64().is_none_or(|most| uses < Some(most)), "GrantExhausted"),
        // P24: grant and stack name fork use; P25: what is the stack's is no subagent's.
        (!fork || (spec["allowForkCauses"] == true && by_reference), "UntrustedCause"),
        (!fork || secrets["allowOnForks"] == true, "UntrustedCause"),
        (agent.len() < 2 && listed, mismatch),
    ];
    if let Some(at) = checks.iter().position(|(holds, _)| !holds) {
        return (at, checks[at].1);
    }
    match text(&spec["requiredApproval"]) {
        "never" if !fork && (!untrusted || by_reference) => (21, ""),
        "" | "on-untrusted-ref" if !fork && !untrusted => (21, ""),
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
    codes.extend(chain.iter().any(|link| link["by"] == "rule").then_some("DelegationDenied"));
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
    let outcome = match codes.iter().find(|code| !["WouldDeny", "ApprovalRequired"].contains(code)) {
        Some(_) => Outcome::Denied,
        None if codes.contains("ApprovalRequired") => Outcome::RequiresApproval,
        None => Outcome::Allowed,
    };
    (outcome, codes.into_iter().map(str::to_owned).collect())
}

/// Section 3: the outcome, and the codes.
pub(crate) fn reference(world: &World, request: &Value) -> (Outcome, BTreeSet<String>) {
    let mut codes: BTreeSet<&str> = BTreeSet::new();
    let repository = text(&request["repository"]["name"]);
    // Step 2.
    let other = !request["repository"].is_null() && request["repository"]["uid"] != format!("u-{repository}");
    let stack = &request["agentStack"];
    if other || (!stack.is_null() && by_uid(world, "AgentStack", stack).is_none()) {
        return told(["CrossOrgDenied"].into());
    }
    // Step 3.
    let chain = request["actorChain"].as_array().cloned().unwrap_or_default();
    if chain.iter().map(|link| format!("{}{}", link["kind"], link["uid"])).collect::<BTreeSet<_>>().len() < chain.len()
    {
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
    // Steps 4 and 5.
    let (gate, steering, fork) = trust(world, &request["causeChain"][0], repository);
    let bindings = world.iter().filter(|it| it.0 == "PolicyBinding");
    codes.extend(bindings.filter_map(|it| policy(world, &it.2, request, (steering, fork))));
    codes.extend((gate < level("external")).then_some("UntrustedCause"));
    // Step 6.
    let (verb, kind) = (text(&request["action"]["verb"]), text(&request["action"]["kind"]));
    let has = if repository.is_empty() { 0 } else { permission(world, text(&last["name"]), repository) };
    let is_admin = user.is_some_and(|user| user["admin"] == true);
    codes.extend((!is_admin && has < needed(verb, kind)).then_some("MissingRole"));
    // Step 7.
    for need in request["needs"].as_array().into_iter().flatten() {
        let untrusted = fork || steering < level("member");
        let (place, code) = if need["type"] == "tool" {
            agent.iter().map(|layer| tool(world, layer)).min().unwrap_or((0, "ToolDenied"))
        } else {
            let of = |it: &&Object| it.0 == "AgentSecretGrant" && it.2["subject"]["name"] == need["user"]["name"];
            let judged = world.iter().filter(of).map(|it| grant(it, request, need, &agent, (untrusted, fork)));
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
