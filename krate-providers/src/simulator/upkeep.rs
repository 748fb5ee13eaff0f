//! Native changes to repositories, branches, labels and milestones.

use std::collections::BTreeMap;

use super::actor::Actor;
use super::effects::{FieldError, Operation, Refusal};
use super::events::{Subject, Was};
use super::model::{Association, Label, Milestone, Repository, State, UserKind, fold, same_name, whole_second};

/// Labels that every new repository starts with.
const DEFAULT_LABELS: [(&str, &str, &str); 3] = [
    ("bug", "d73a4a", "Something isn't working"),
    ("documentation", "0075ca", "Improvements or additions to documentation"),
    ("enhancement", "a2eeef", "New feature or request"),
];

impl Actor<'_> {
    /// Makes the public repository `owner/name` with a branch `main`. An owner that is not the actor is an organization, and
    /// the actor a member of it.
    pub fn create_repository(&mut self, full_name: &str) -> Result<u64, Refusal> {
        self.add_repository(Operation::CreateRepository, full_name, None)
    }

    /// Makes a private repository.
    pub fn create_private_repository(&mut self, full_name: &str) -> Result<u64, Refusal> {
        let id = self.create_repository(full_name)?;
        if let Some(repository) = self.forge.world.repositories.get_mut(&id) {
            repository.private = true;
        }
        Ok(id)
    }

    /// Forks a repository to the actor's account, with its branches.
    pub fn fork(&mut self, repository: &str) -> Result<u64, Refusal> {
        let source = self.repository(self.find(repository)?)?;
        let (id, full_name) = (source.id, format!("{}/{}", self.login, source.name));
        self.add_repository(Operation::ForkRepository, &full_name, Some(id))
    }

    /// Gives the repository another name; the old one redirects.
    pub fn rename_repository(&mut self, repository: &str, name: &str) -> Result<(), Refusal> {
        let id = self.find(repository)?;
        let owner = self.repository(id)?.owner.clone();
        self.check_name(&owner, name)?;
        let at = whole_second(self.now);
        let Some(repository) = self.forge.world.repositories.get_mut(&id) else { return Ok(()) };
        let from = std::mem::replace(&mut repository.name, name.to_owned());
        repository.updated_at = repository.updated_at.max(at);
        self.forge.world.name(&format!("{owner}/{name}"), id);
        self.record(Operation::RenameRepository, id, None, id, vec!["name"]);
        self.announce(id, &Subject::Repository { action: "renamed", was: Was::RepositoryNamed(from) });
        Ok(())
    }

    /// Gives the repository to another account; the old name redirects.
    pub fn transfer_repository(&mut self, repository: &str, owner: &str) -> Result<(), Refusal> {
        let id = self.find(repository)?;
        let name = self.repository(id)?.name.clone();
        self.check_name(owner, &name)?;
        self.forge.ensure_user(owner, UserKind::Organization);
        let at = whole_second(self.now);
        let Some(repository) = self.forge.world.repositories.get_mut(&id) else { return Ok(()) };
        let from = std::mem::replace(&mut repository.owner, owner.to_owned());
        repository.updated_at = repository.updated_at.max(at);
        self.forge.world.name(&format!("{owner}/{name}"), id);
        self.record(Operation::TransferRepository, id, None, id, vec!["owner"]);
        self.announce(id, &Subject::Repository { action: "transferred", was: Was::OwnedBy(from) });
        Ok(())
    }

    /// Deletes the repository with everything in it.
    pub fn delete_repository(&mut self, repository: &str) -> Result<(), Refusal> {
        let id = self.find(repository)?;
        self.announce(id, &Subject::Repository { action: "deleted", was: Was::Nothing });
        self.forge.world.repositories.remove(&id);
        self.record(Operation::DeleteRepository, id, None, id, vec!["deleted"]);
        Ok(())
    }

    /// Says how an account relates to the repository; shows as `author_association`.
    pub fn associate(&mut self, repository: &str, login: &str, association: Association) -> Result<(), Refusal> {
        let id = self.find(repository)?;
        self.forge.ensure_user(login, UserKind::User);
        if let Some(repository) = self.forge.world.repositories.get_mut(&id) {
            repository.associations.insert(fold(login), association);
        }
        Ok(())
    }

    /// Pushes one commit to a branch, making the branch if it is new, and returns the commit. Open pull requests from that
    /// branch get it as their new head.
    pub fn push(&mut self, repository: &str, branch: &str) -> Result<String, Refusal> {
        let id = self.find(repository)?;
        let sha = self.forge.fresh_sha();
        self.record(Operation::Push, id, None, id, vec!["branches"]);
        self.move_branch(id, branch, &sha);
        Ok(sha)
    }

    /// Makes a label.
    pub fn create_label(&mut self, repository: &str, name: &str, color: &str) -> Result<u64, Refusal> {
        let id = self.find(repository)?;
        if name.trim().is_empty() {
            return Err(Refusal::Invalid(FieldError::new("Label", "name", "missing_field")));
        }
        if self.repository(id)?.label(name).is_some() {
            return Err(Refusal::Invalid(FieldError::new("Label", "name", "already_exists")));
        }
        check_color(color)?;
        let label = self.add_label(id, name, color)?;
        self.record(Operation::CreateLabel, id, None, label, vec!["name", "color"]);
        Ok(label)
    }

    /// Renames a label. Issues that wear it show the new name at once, and keep their `updated_at`.
    pub fn rename_label(&mut self, repository: &str, name: &str, new_name: &str) -> Result<(), Refusal> {
        let id = self.find(repository)?;
        let repository = self.repository(id)?;
        let label = repository.label(name).ok_or(Refusal::NotFound { what: "label" })?.id;
        if repository.label(new_name).is_some_and(|other| other.id != label) {
            return Err(Refusal::Invalid(FieldError::new("Label", "name", "already_exists")));
        }
        let Some(found) = self.label_mut(id, label) else { return Ok(()) };
        let from = std::mem::replace(&mut found.name, new_name.to_owned());
        self.record(Operation::EditLabel, id, None, label, vec!["name"]);
        self.announce(id, &Subject::Label { label, action: "edited", was: Was::Named(from) });
        Ok(())
    }

    /// Deletes a label, from every issue too; their `updated_at` stays.
    pub fn delete_label(&mut self, repository: &str, name: &str) -> Result<(), Refusal> {
        let id = self.find(repository)?;
        let label = self.repository(id)?.label(name).ok_or(Refusal::NotFound { what: "label" })?.id;
        self.announce(id, &Subject::Label { label, action: "deleted", was: Was::Nothing });
        if let Some(repository) = self.forge.world.repositories.get_mut(&id) {
            repository.labels.remove(&label);
            let numbers: Vec<u64> = repository.issues().map(|issue| issue.number).collect();
            for number in numbers {
                if let Some(issue) = repository.issue_mut(number) {
                    issue.labels.remove(&label);
                }
            }
        }
        self.record(Operation::DeleteLabel, id, None, label, vec!["deleted"]);
        Ok(())
    }

    /// Makes a milestone and returns its number.
    pub fn create_milestone(&mut self, repository: &str, title: &str) -> Result<u64, Refusal> {
        let id = self.find(repository)?;
        let object = self.forge.fresh_id();
        let (creator, created_at) = (self.login.clone(), whole_second(self.now));
        let Some(repository) = self.forge.world.repositories.get_mut(&id) else { return Ok(0) };
        let number = repository.milestones.last_key_value().map_or(1, |(last, _)| last.saturating_add(1));
        let milestone = Milestone { id: object, number, title: title.to_owned(), creator, created_at };
        repository.milestones.insert(number, milestone);
        self.record(Operation::CreateMilestone, id, None, object, vec!["title"]);
        self.announce(id, &Subject::Milestone { number, action: "created" });
        Ok(number)
    }

    pub(super) fn add_label(&mut self, repository: u64, name: &str, color: &str) -> Result<u64, Refusal> {
        let label = self.forge.fresh_label(name, color);
        let id = label.id;
        let found =
            self.forge.world.repositories.get_mut(&repository).ok_or(Refusal::NotFound { what: "repository" })?;
        found.labels.insert(id, label);
        self.announce(repository, &Subject::Label { label: id, action: "created", was: Was::Nothing });
        Ok(id)
    }

    /// Points a branch at a commit and tells the pull requests whose head it is.
    pub(super) fn move_branch(&mut self, id: u64, branch: &str, sha: &str) {
        let at = whole_second(self.now);
        let Some(repository) = self.forge.world.repositories.get_mut(&id) else { return };
        let before = repository.branches.insert(branch.to_owned(), sha.to_owned());
        repository.pushed_at = repository.pushed_at.max(at);
        let pushed = Subject::Push { branch: branch.to_owned(), before: before.clone(), after: sha.to_owned() };
        self.announce(id, &pushed);
        let Some(before) = before else { return };
        for (base, number) in self.open_heads(id, branch) {
            if let Some(repository) = self.forge.world.repositories.get_mut(&base)
                && let Some(pull) = repository.issue_mut(number).and_then(|issue| issue.pull.as_mut())
            {
                sha.clone_into(&mut pull.head_sha);
                pull.commits = pull.commits.saturating_add(1);
            }
            self.touch(base, number);
            let was = Was::Head { before: before.clone(), after: sha.to_owned() };
            self.announce(base, &Subject::Issue { number, action: "synchronize", was });
        }
    }

    /// Repository and number of every open pull request whose head is that branch.
    fn open_heads(&self, head_repository: u64, branch: &str) -> Vec<(u64, u64)> {
        let mut found = Vec::new();
        for repository in self.forge.world.repositories.values() {
            for issue in repository.issues().filter(|issue| issue.state == State::Open) {
                let is_head =
                    |pull: &super::model::PullRequest| pull.head_repository == head_repository && pull.head == branch;
                if issue.pull.as_ref().is_some_and(is_head) {
                    found.push((repository.id, issue.number));
                }
            }
        }
        found
    }

    fn add_repository(&mut self, operation: Operation, full_name: &str, source: Option<u64>) -> Result<u64, Refusal> {
        let invalid = || Refusal::Invalid(FieldError::new("Repository", "name", "invalid").value(full_name));
        let (owner, name) = full_name.split_once('/').ok_or_else(invalid)?;
        self.check_name(owner, name)?;
        self.forge.ensure_user(owner, UserKind::Organization);
        let owner = self.forge.world.user(owner).map_or_else(|| owner.to_owned(), |user| user.login.clone());
        let id = self.forge.fresh_id();
        let at = whole_second(self.now);
        let mut labels = BTreeMap::new();
        for (label, color, description) in DEFAULT_LABELS {
            let label = Label {
                description: Some(description.to_owned()),
                default: true,
                ..self.forge.fresh_label(label, color)
            };
            labels.insert(label.id, label);
        }
        let branches = match source.and_then(|source| self.forge.world.repositories.get(&source)) {
            Some(source) => source.branches.clone(),
            None => BTreeMap::from([("main".to_owned(), self.forge.fresh_sha())]),
        };
        let mut associations = BTreeMap::new();
        if !same_name(&owner, &self.login) {
            associations.insert(fold(&self.login), Association::Member);
        }
        let repository = Repository {
            id,
            owner,
            name: name.to_owned(),
            private: false,
            fork_of: source,
            default_branch: "main".to_owned(),
            branches,
            created_at: at,
            updated_at: at,
            pushed_at: at,
            labels,
            milestones: BTreeMap::new(),
            comments: BTreeMap::new(),
            slots: BTreeMap::new(),
            open_issues: 0,
            associations,
        };
        self.forge.world.name(full_name, id);
        self.forge.world.repositories.insert(id, repository);
        self.record(operation, id, None, id, vec!["name"]);
        self.announce(id, &Subject::Repository { action: "created", was: Was::Nothing });
        Ok(id)
    }

    /// Names are what may stand in a path, and no two repositories share one.
    fn check_name(&self, owner: &str, name: &str) -> Result<(), Refusal> {
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.[]".contains(&byte))
        };
        let full_name = format!("{owner}/{name}");
        if !is_word(owner) || !is_word(name) || name == "." || name == ".." {
            return Err(Refusal::Invalid(FieldError::new("Repository", "name", "invalid").value(full_name)));
        }
        let taken = self.forge.world.named(&full_name).is_some_and(|found| same_name(&found.full_name(), &full_name));
        if taken {
            return Err(Refusal::Invalid(FieldError::new("Repository", "name", "already_exists").value(full_name)));
        }
        Ok(())
    }

    fn label_mut(&mut self, repository: u64, label: u64) -> Option<&mut Label> {
        self.forge.world.repositories.get_mut(&repository)?.labels.get_mut(&label)
    }

    fn announce(&mut self, repository: u64, subject: &Subject) {
        let (login, now) = (self.login.clone(), self.now);
        self.forge.announce(repository, &login, now, subject);
    }
}

fn check_color(color: &str) -> Result<(), Refusal> {
    if color.len() == 6 && color.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(Refusal::Invalid(FieldError::new("Label", "color", "invalid").value(color)))
}
