//! The specification read slowly: what a review comes to, from documents alone, in the words of permission-review.md and without a line of the engine's code. It
//! knows persons, one organization, policies of krate's engine, and one secret.

use std::collections::BTreeSet;

use krate_policy::decision::Outcome;
use serde_json::Value;

/// A world as documents: kind, name, spec, status.
pub(crate) type World = Vec<(&'static str, String, Value, Value)>;

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

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn named<'w>(world: &'w World, kind: &str, name: &str) -> Option<(&'w Value, &'w Value)> {
    world.iter().find(|it| it.0 == kind && it.1 == name).map(|it| (&it.2, &it.3))
}

/// Section 7: a level as a number, `maintainer` the highest.
const LEVELS: [&str; 6] = ["anonymous", "external", "first-time", "contributor", "member", "maintainer"];

fn level(name: &str) -> usize {
    LEVELS.iter().position(|level| *level == name).expect("a level")
}

/// The permission of a person on the repository: the highest that is applied to it.
fn permission(world: &World, person: &str, repository: &str) -> usize {
    let of = |it: &&(_, _, Value, Value)| {
        it.0 == "RepositoryPermission"
            && it.2["subject"]["name"] == person
            && it.2["repository"] == repository
            && it.2["revoked"] != true
            && it.3["phase"] == "Applied"
    };
    let order = ["", "read", "triage", "write", "maintain", "admin"];
    let own = world.iter().filter(of).filter_map(|it| order.iter().position(|name| it.2["permission"] == *name));
    if named(world, "User", person).is_some_and(|(spec, _)| spec["admin"] == true) { 5 } else { own.max().unwrap_or(0) }
}

/// krate's own word on an account: by a verified mapping, and that person's permission.
fn own_level(world: &World, account: &str, repository: &str) -> Option<usize> {
    let person = world
        .iter()
        .find(|it| it.0 == "IdentityMapping" && it.2["subject"] == account && it.3["phase"] == "Verified")?;
    let person = person.2["user"].as_str()?;
    // Where there is no repository nobody has a permission on one, and a known person is a contributor.
    if repository.is_empty() {
        return Some(level("contributor"));
    }
    let active = named(world, "User", person).is_some_and(|(spec, _)| spec["state"] != "suspended");
    match if active { permission(world, person, repository) } else { 0 } {
        4 | 5 => Some(level("maintainer")),
        3 => Some(level("member")),
        1 | 2 => Some(level("contributor")),
        _ => None,
    }
}

/// The lower of the provider's word and krate's.
fn actor_level(world: &World, actor: &Value, event: &str, repository: &str) -> usize {
    let Some(account) = actor["account"]["id"].as_str() else { return level("anonymous") };
    let own = own_level(world, account, repository);
    if event == "manual" {
        return own.unwrap_or(level("external"));
    }
    let ceiling = match actor["association"].as_str() {
        Some("OWNER" | "MEMBER" | "COLLABORATOR") => level("maintainer"),
        Some("CONTRIBUTOR") => level("contributor"),
        Some("FIRST_TIME_CONTRIBUTOR" | "FIRST_TIMER") => level("first-time"),
        _ => level("external"),
    };
    ceiling.min(own.unwrap_or(level("contributor")))
}

/// Gate, steering and fork of the one cause.
fn trust(world: &World, cause: &Value, repository: &str) -> (usize, usize, bool) {
    let event = cause["event"].as_str().unwrap_or_default();
    let gate = actor_level(world, &cause["gate"], event, repository);
    let steering = cause["steering"].as_array().cloned().unwrap_or_default();
    let mut lowest: Vec<usize> = steering.iter().map(|actor| actor_level(world, actor, event, repository)).collect();
    if event != "label" {
        lowest.push(gate);
    } else if steering.is_empty() {
        lowest.push(level("external"));
    }
    let verified = cause["verified"] == true;
    if !verified {
        lowest.push(level("external"));
    }
    let head = cause.get("head").is_some() || cause.get("base").is_some();
    let fork = head
        && (cause["head"]["repositoryId"].is_null() || cause["head"]["repositoryId"] != cause["base"]["repositoryId"]);
    let gate = if verified { gate } else { gate.min(level("external")) };
    (gate, lowest.into_iter().min().unwrap_or(0), fork)
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
fn grant(spec: &Value, status: &Value, request: &Value, untrusted: bool) -> (usize, &'static str) {
    let need = &request["needs"][0];
    let lists =
        |list: &Value, value: &Value| value.as_str().map_or(texts(list).is_empty(), |it| texts(list).contains(&it));
    let in_repository =
        request["repository"]["name"].as_str().is_some_and(|it| texts(&spec["allowedRepositories"]).contains(&it));
    let refs = &spec["allowedRefs"];
    let ref_fits = match request["ref"].as_str() {
        None => refs.is_null(),
        Some(it) => {
            texts(&refs["include"]).iter().any(|pattern| matches(pattern, it))
                && !texts(&refs["exclude"]).iter().any(|pattern| over_matches(pattern, it))
        }
    };
    let now = request["now"].as_str().unwrap_or_default();
    let mismatch = "GrantScopeMismatch";
    let checks = [
        (status["subjectUid"] == need["user"]["uid"], mismatch),
        (texts(&spec["secretRef"]["keys"]).contains(&need["key"].as_str().unwrap_or_default()), mismatch),
        (spec["purpose"] == need["purpose"], mismatch),
        (in_repository, mismatch),
        (ref_fits, mismatch),
        (lists(&spec["allowedEnvironments"], &request["environment"]), mismatch),
        (lists(&spec["allowedTriggerSources"], &request["triggerSource"]), mismatch),
        (status["phase"] != "Pending", "GrantNotReady"),
        (spec["revoked"] != true, "GrantRevoked"),
        (spec["expiresAt"].as_str().is_none_or(|end| now < end), "GrantExpired"),
        (spec["maxUses"].as_i64().is_none_or(|most| status["uses"].as_i64().unwrap_or(0) < most), "GrantExhausted"),
    ];
    if let Some(at) = checks.iter().position(|(holds, _)| !holds) {
        return (at, checks[at].1);
    }
    let by_reference = spec["mountPolicy"].is_null() || spec["mountPolicy"] == "never-mount-pass-by-reference";
    match spec["requiredApproval"].as_str().unwrap_or("on-untrusted-ref") {
        "always" => (20, "ApprovalRequired"),
        "on-untrusted-ref" if untrusted => (20, "ApprovalRequired"),
        "never" if untrusted && !by_reference => (20, "ApprovalRequired"),
        _ => (21, ""),
    }
}

/// Section 3: the outcome, and the codes.
pub(crate) fn reference(world: &World, request: &Value) -> (Outcome, BTreeSet<String>) {
    let mut codes: BTreeSet<&str> = BTreeSet::new();
    let told = |outcome, codes: BTreeSet<&str>| (outcome, codes.into_iter().map(str::to_owned).collect());
    let repository = request["repository"]["name"].as_str().unwrap_or_default();
    // Step 2.
    if !request["repository"].is_null() && request["repository"]["uid"] != format!("u-{repository}") {
        return told(Outcome::Denied, ["CrossOrgDenied"].into());
    }
    // Step 3.
    let person = request["subject"]["name"].as_str().unwrap_or_default();
    match named(world, "User", person) {
        None => return told(Outcome::Denied, ["UnknownSubject"].into()),
        Some(_) if request["subject"]["uid"] != format!("u-{person}") => {
            return told(Outcome::Denied, ["UnknownSubject"].into());
        }
        Some((spec, _)) if spec["state"] == "suspended" => return told(Outcome::Denied, ["SubjectSuspended"].into()),
        Some(_) => {}
    }
    let (gate, steering, fork) = trust(world, &request["causeChain"][0], repository);
    let untrusted = fork || steering < level("member");
    let (mut denied, mut asks) = (false, false);
    // Step 4.
    for (_, _, binding, _) in world.iter().filter(|it| it.0 == "PolicyBinding" && it.2["suspend"] != true) {
        let scope = &binding["match"];
        let fits = |list: &Value, value: &Value| {
            texts(list).is_empty()
                || value.as_str().is_some_and(|it| texts(list).iter().any(|name| over_matches(name, it)))
        };
        let refs = &scope["refs"];
        let ref_fits = refs.is_null()
            || request["ref"].as_str().is_some_and(|it| {
                texts(&refs["include"]).iter().any(|pattern| over_matches(pattern, it))
                    && !texts(&refs["exclude"]).iter().any(|pattern| matches(pattern, it))
            });
        if !fits(&scope["repositories"], &request["repository"]["name"])
            || !fits(&scope["environments"], &request["environment"])
            || !ref_fits
        {
            continue;
        }
        let effect = match named(world, "PolicyTemplate", binding["templateRef"].as_str().unwrap_or_default()) {
            // What can't be judged is a no.
            None => "deny",
            Some((template, _)) => {
                let rule = &template["krate"];
                let about =
                    texts(&template["targetKinds"]).contains(&request["action"]["kind"].as_str().unwrap_or_default());
                let verbs = texts(&rule["verbs"]);
                let verb = verbs.is_empty() || verbs.contains(&request["action"]["verb"].as_str().unwrap_or_default());
                let low = rule["minTrust"].as_str().is_none_or(|least| fork || steering < level(least));
                if !about || !verb || !low {
                    continue;
                }
                rule["effect"].as_str().unwrap_or("deny")
            }
        };
        if binding["mode"] == "audit" {
            codes.insert("WouldDeny");
        } else if effect == "deny" {
            denied |= codes.insert("ExplicitDeny");
        } else {
            asks |= codes.insert("ApprovalRequired");
        }
    }
    // Step 5.
    if gate < level("external") {
        denied |= codes.insert("UntrustedCause");
    }
    // Step 6.
    let (verb, kind) = (
        request["action"]["verb"].as_str().unwrap_or_default(),
        request["action"]["kind"].as_str().unwrap_or_default(),
    );
    let is_admin = named(world, "User", person).is_some_and(|(spec, _)| spec["admin"] == true);
    let in_force = if request["repository"].is_null() { 0 } else { permission(world, person, repository) };
    if !is_admin && in_force < needed(verb, kind) {
        denied |= codes.insert("MissingRole");
    }
    // Step 7.
    if !request["needs"][0].is_null() {
        let candidates = world
            .iter()
            .filter(|it| it.0 == "AgentSecretGrant" && it.2["subject"]["name"] == request["needs"][0]["user"]["name"]);
        let best = candidates.map(|it| grant(&it.2, &it.3, request, untrusted)).max_by_key(|(at, _)| *at);
        match best {
            None => denied |= codes.insert("MissingSecretGrant"),
            // P24: no stack is known, so that none says that forks may.
            Some((20.., _)) if fork => denied |= codes.insert("UntrustedCause"),
            Some((21.., _)) => {}
            Some((20, code)) => asks |= codes.insert(code) || codes.contains(code),
            Some((_, code)) => denied |= codes.insert(code),
        }
    }
    let outcome = match (denied, asks || codes.contains("ApprovalRequired")) {
        (false, false) => Outcome::Allowed,
        (false, true) => Outcome::RequiresApproval,
        (true, _) => Outcome::Denied,
    };
    told(outcome, codes)
}
