//! What an agent may really use, named in the decision (section 2, P25 to P27). It is a part of what an approval is bound to (P55), so it is told before step 9.

use std::collections::BTreeSet;

use krate_model::Kind;
use krate_model::kinds::agents::AgentServiceAccount;
use krate_model::kinds::tools::FilesystemPolicy;

use super::{Review, parts};
use crate::decision::{Effective, GivenHandle};
use crate::request::Need;
use crate::tools::Verdict;

pub(super) fn tell(review: &mut Review<'_>) {
    let Some(agent) = &review.agent else { return };
    let profiles = || agent.layers.iter().map(|layer| review.snapshot.tools(review.namespace, layer.profile?));
    let mut tools = Vec::new();
    if let Some(Some(first)) = profiles().next() {
        let everywhere = |name: &&str| {
            profiles().all(|tools| tools.is_some_and(|tools| !matches!(tools.tool(name), Verdict::Denied(_))))
        };
        tools.extend(first.names().filter(everywhere).map(Into::into));
    }
    let least = profiles().map(|tools| tools.map_or(&FilesystemPolicy::None, |tools| tools.files())).min();
    let spec = &agent.stack.spec;
    let names = |own: &BTreeSet<String>, kind: Kind, may: &dyn Fn(&str) -> bool| {
        let shared = spec.shared_refs.iter().filter(|it| it.kind == kind.as_str());
        let shared = shared.map(|it| format!("{}/{}", it.organization, it.name));
        let may = |name: &String| may(name).then(|| name.as_str().into());
        own.iter().filter_map(may).chain(shared.filter_map(|name| may(&name))).collect()
    };
    let mut effective = Effective {
        tools,
        servers: names(&spec.mcp_server_refs, Kind::AgentMcpServer, &|name| parts::server(review, agent, name).is_ok()),
        skills: names(&spec.skill_refs, Kind::AgentSkill, &|name| parts::skill(review, agent, name).is_ok()),
        filesystem: least.map_or("none", krate_model::ClosedSet::as_str).into(),
        ..Effective::default()
    };
    for given in &review.decision.per_need {
        match (&*given.need, &given.by) {
            (Need::Secret { name, key, .. } | Need::Config { name, key, .. }, Some(by)) => {
                effective.handles.push(GivenHandle { grant: by.clone(), target: name.clone(), key: key.clone() });
            }
            (Need::Pool { name }, Some(_)) => effective.pool = Some(name.clone()),
            (Need::Target { action }, Some(_)) => effective.targets.push(action.clone()),
            (Need::Host { host, .. }, Some(_)) => effective.hosts.push(host.clone()),
            (Need::Path { path, .. }, Some(_)) => effective.paths.push(path.clone()),
            _ => {}
        }
    }
    let account =
        review.snapshot.get::<AgentServiceAccount>(review.namespace, &spec.runtime_identity.service_account_ref);
    // P24, section 7: what comes from a fork, or from somebody below member, runs without an account's token.
    let account = account.filter(|_| !review.trust.is_untrusted()).map(|account| account.version.name.clone());
    review.decision.runtime_identity = account;
    review.decision.effective = Some(effective);
}
