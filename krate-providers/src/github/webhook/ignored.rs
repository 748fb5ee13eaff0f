//! Event types that GitHub has and krate has no object for, each by name with the reason (S12).

use crate::contract::Ignored;

/// GitHub's event types without local meaning, sorted, each with what it is about.
pub(in crate::github) const NO_LOCAL_MEANING: &[(&str, &str)] = &[
    ("branch_protection_configuration", "rules of branches are read, not sent whole"),
    ("branch_protection_rule", "rules of branches are read, not sent whole"),
    ("code_scanning_alert", "security alerts are no objects of krate"),
    ("commit_comment", "comments on commits are no objects of krate"),
    ("custom_property", "properties of organizations are no objects of krate"),
    ("custom_property_values", "properties of organizations are no objects of krate"),
    ("dependabot_alert", "security alerts are no objects of krate"),
    ("deploy_key", "deploy keys are read, not sent whole"),
    ("deployment", "deployments are no objects of krate"),
    ("deployment_protection_rule", "deployments are no objects of krate"),
    ("deployment_review", "deployments are no objects of krate"),
    ("deployment_status", "deployments are no objects of krate"),
    ("discussion", "discussions are no objects of krate"),
    ("discussion_comment", "discussions are no objects of krate"),
    ("fork", "the fork is another repository, which has its own binding or none"),
    ("github_app_authorization", "a person's grant to the app is no object of krate"),
    ("gollum", "wiki pages are no objects of krate"),
    ("image_deleted", "packages are no objects of krate"),
    ("installation_target", "the account's new name comes with the next installation event"),
    ("integration_installation", "the old name of `installation`, which is sent as well"),
    ("integration_installation_repositories", "the old name of `installation_repositories`, which is sent as well"),
    ("issue_dependencies", "dependencies of issues are no fields of krate"),
    ("marketplace_purchase", "purchases are no objects of krate"),
    ("member", "collaborators are read, not sent whole"),
    ("membership", "the provider's teams are no objects of krate"),
    ("merge_group", "the merge queue's results come as checks and pull requests"),
    ("meta", "the hook itself was removed: the gap detector sees that nothing arrives"),
    ("org_block", "members of organizations are no objects of krate"),
    ("organization", "members of organizations are no objects of krate"),
    ("package", "packages are no objects of krate"),
    ("page_build", "pages are no objects of krate"),
    ("personal_access_token_request", "a person's grant is no object of krate"),
    ("project", "classic projects are no objects of krate"),
    ("project_card", "classic projects are no objects of krate"),
    ("project_column", "classic projects are no objects of krate"),
    ("projects_v2", "projects are no objects of krate"),
    ("projects_v2_item", "projects are no objects of krate"),
    ("projects_v2_status_update", "projects are no objects of krate"),
    ("registry_package", "packages are no objects of krate"),
    ("release", "releases are no objects of krate"),
    ("repository_advisory", "security alerts are no objects of krate"),
    ("repository_dispatch", "a signal for workflows changes no object"),
    ("repository_import", "the import's result comes as pushes"),
    ("repository_ruleset", "rules of branches are read, not sent whole"),
    ("repository_vulnerability_alert", "security alerts are no objects of krate"),
    ("secret_scanning_alert", "security alerts are no objects of krate"),
    ("secret_scanning_alert_location", "security alerts are no objects of krate"),
    ("secret_scanning_scan", "security alerts are no objects of krate"),
    ("security_advisory", "security alerts are no objects of krate"),
    ("security_and_analysis", "security settings are no objects of krate"),
    ("sponsorship", "sponsorships are no objects of krate"),
    ("star", "stars are no objects of krate"),
    ("sub_issues", "hierarchies of issues are no fields of krate"),
    ("team", "the provider's teams are no objects of krate"),
    ("team_add", "the provider's teams are no objects of krate"),
    ("watch", "stars are no objects of krate"),
    ("workflow_dispatch", "the run that it starts comes as `workflow_run`"),
];

pub(super) fn by_name(event_type: &str) -> Ignored {
    match NO_LOCAL_MEANING.iter().find(|(name, _)| *name == event_type) {
        Some((event_type, why)) => Ignored::NoLocalMeaning { event_type, why },
        None => Ignored::UnknownEvent { event_type: event_type.to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s12_an_unknown_event_type_is_ignored_by_its_own_name() {
        assert_eq!(by_name("teleport"), Ignored::UnknownEvent { event_type: "teleport".to_owned() });
        assert!(matches!(by_name("star"), Ignored::NoLocalMeaning { event_type: "star", .. }));
        assert!(NO_LOCAL_MEANING.is_sorted_by_key(|(name, _)| *name));
    }
}
