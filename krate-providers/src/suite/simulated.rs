//! The simulator as a backend of the suite.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Request, Response};
use krate_model::kinds::external::{
    BodyText, Changes, Close, Labels, Merge, NewIssue as NewIssuePayload, NewPullRequest as NewPullRequestPayload,
    Nothing, Payload,
};
use krate_model::kinds::sets::{AuthMode, Operation};
use krate_model::kinds::shared::{NativeTarget, Time};
use krate_model::kinds::work::MergeMethod;
use url::Url;

use super::{Backend, Subject};
use crate::contract::{Credential, WebhookSecret};
use crate::simulator::{Forge, NewIssue, NewPullRequest, Refusal};

const REPOSITORY: &str = "acme/site";
const TOKEN: &str = "token-of-the-suite";
const SECRET: &str = "secret of the suite";

/// A simulated GitHub with one repository.
#[derive(Debug)]
pub struct Simulated {
    forge: Forge,
    api_base: Url,
    hook: u64,
    branches: u32,
}

impl Simulated {
    /// A new one; none, where the simulator refuses what it is set up with.
    pub fn seeded(seed: u64, now: DateTime<Utc>) -> Option<Self> {
        let mut forge = Forge::seeded(seed);
        forge.add_token(TOKEN, "krate[bot]");
        forge.by("ada", now).create_repository(REPOSITORY).ok()?;
        let hook = forge.add_hook(REPOSITORY, "https://krate.example/hook", Some(SECRET), now).ok()?;
        let api_base = Url::parse(&forge.urls().api).ok()?;
        Some(Self { forge, api_base, hook, branches: 0 })
    }

    fn target(kind: &str, id: Option<u64>, number: Option<u64>) -> NativeTarget {
        let names = [("owner", "acme"), ("repository", "site")];
        NativeTarget {
            native_kind: kind.to_owned(),
            native_id: id.map(|id| id.to_string()),
            native_number: number.and_then(|number| i64::try_from(number).ok()),
            container: BTreeMap::from(names.map(|(name, value)| (name.to_owned(), value.to_owned()))),
        }
    }

    fn issue(&mut self, now: Time) -> Result<(u64, u64), Refusal> {
        let new = NewIssue::titled("Before").body("before").label("old");
        let number = self.forge.by("ada", now).open_issue(REPOSITORY, new)?;
        Ok((self.forge.issue(REPOSITORY, number).map_or(0, |issue| issue.id), number))
    }

    fn branch(&mut self, now: Time) -> Result<(String, String), Refusal> {
        self.branches += 1;
        let branch = format!("topic-{}", self.branches);
        let sha = self.forge.by("ada", now).push(REPOSITORY, &branch)?;
        Ok((branch, sha))
    }

    fn pull(&mut self, now: Time) -> Result<(u64, u64, String), Refusal> {
        let (branch, sha) = self.branch(now)?;
        let new = NewPullRequest::new("Before", &branch, "main").body("before");
        let number = self.forge.by("ada", now).open_pull_request(REPOSITORY, new)?;
        let id = self.forge.issue(REPOSITORY, number).and_then(|issue| issue.pull.as_ref()).map_or(0, |pull| pull.id);
        Ok((id, number, sha))
    }

    fn make(&mut self, operation: &Operation, now: Time) -> Result<Option<Subject>, Refusal> {
        let text = || BodyText { body: "after".to_owned() };
        let changes = || Changes { title: Some("After".to_owned()), ..Changes::default() };
        let label = |name: &str| Labels { labels: vec![name.to_owned()] };
        let (id, number) = self.issue(now)?;
        let issue = Self::target("issue", Some(id), Some(number));
        let anywhere = |kind| Self::target(kind, None, None);
        let (target, payload) = match operation {
            Operation::ListIssues | Operation::ListLabels => {
                for name in ["one", "two", "three"] {
                    let number = self.issue(now)?.1;
                    self.forge.by("ada", now).label(REPOSITORY, number, &[name])?;
                }
                (anywhere("issue"), None)
            }
            Operation::ListComments => {
                for text in ["one", "two", "three"] {
                    self.forge.by("ada", now).comment(REPOSITORY, number, text)?;
                }
                (issue, None)
            }
            Operation::ListPullRequests => {
                for _ in 0..3 {
                    self.pull(now)?;
                }
                (anywhere("pull_request"), None)
            }
            Operation::GetRepository => (anywhere("repository"), None),
            Operation::ListHooks => (anywhere("hook"), None),
            Operation::ListHookDeliveries => (Self::target("hook", None, Some(self.hook)), None),
            Operation::GetHookDelivery => {
                let line = self.forge.deliveries().last().map(|sent| sent.line);
                (Self::target("hook_delivery", line, Some(self.hook)), None)
            }
            Operation::GetIssue => (issue, None),
            Operation::CreateIssue => {
                let new = NewIssuePayload { title: "New".to_owned(), ..NewIssuePayload::default() };
                (anywhere("issue"), Some(Payload::CreateIssue(new)))
            }
            Operation::UpdateIssue => (issue, Some(Payload::UpdateIssue(changes()))),
            Operation::CloseIssue => (issue, Some(Payload::CloseIssue(Close::default()))),
            Operation::AddLabels => (issue, Some(Payload::AddLabels(label("new")))),
            Operation::RemoveLabels => (issue, Some(Payload::RemoveLabels(label("old")))),
            Operation::CreateComment => (issue, Some(Payload::CreateComment(text()))),
            Operation::UpdateComment | Operation::DeleteComment => {
                let comment = self.forge.by("krate[bot]", now).comment(REPOSITORY, number, "before")?;
                let payload = match operation {
                    Operation::UpdateComment => Payload::UpdateComment(text()),
                    _ => Payload::DeleteComment(Nothing {}),
                };
                (Self::target("issue_comment", Some(comment), None), Some(payload))
            }
            Operation::CreatePullRequest => {
                let (head, _) = self.branch(now)?;
                let (title, base) = ("New".to_owned(), "main".to_owned());
                let new = NewPullRequestPayload { title, head, base, ..NewPullRequestPayload::default() };
                (anywhere("pull_request"), Some(Payload::CreatePullRequest(new)))
            }
            Operation::GetPullRequest | Operation::UpdatePullRequest | Operation::MergePullRequest => {
                let (id, number, sha) = self.pull(now)?;
                let payload = match operation {
                    Operation::UpdatePullRequest => Some(Payload::UpdatePullRequest(changes())),
                    Operation::MergePullRequest => {
                        Some(Payload::MergePullRequest(Merge { method: MergeMethod::Squash, expected_head_sha: sha }))
                    }
                    _ => None,
                };
                (Self::target("pull_request", Some(id), Some(number)), payload)
            }
            _ => return Ok(None),
        };
        Ok(Some(Subject { target, payload }))
    }
}

impl Backend for Simulated {
    fn api_base(&self) -> Url {
        self.api_base.clone()
    }

    fn credential(&self) -> Credential {
        Credential::new(AuthMode::PersonalAccessToken, TOKEN)
    }

    fn secret(&self) -> WebhookSecret {
        WebhookSecret::new("suite", SECRET)
    }

    fn answer(&mut self, request: &Request<Bytes>, now: Time) -> Response<Bytes> {
        self.forge.handle(request, now)
    }

    fn effects(&self) -> usize {
        self.forge.effects().iter().filter(|effect| !effect.changed.is_empty()).count()
    }

    fn deliveries(&mut self) -> Vec<Request<Bytes>> {
        self.forge.take_deliveries().iter().map(crate::simulator::Delivery::to_request).collect()
    }

    fn subject(&mut self, operation: &Operation, now: Time) -> Option<Subject> {
        self.make(operation, now).ok().flatten()
    }
}
