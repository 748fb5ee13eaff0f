//! The forge's state: the world that clients read, and beside it what a forge keeps about its callers.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use chrono::{DateTime, Utc};

use super::actor::Actor;
use super::effects::{Effect, Operation, Via};
use super::limits::{Limits, Usage};
use super::model::{Comment, Issue, Label, Repository, Slot, User, UserKind, fold};
use super::rng::Rng;
use super::webhooks::{Delivery, Hook};

/// Where the forge says that it lives. Every URL in its answers starts with one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Urls {
    /// Base of the REST API, without a slash at the end: `https://api.github.com`, or `https://HOST/api/v3` of an Enterprise Server.
    pub api: String,
    /// Base of the web pages: `https://github.com`.
    pub web: String,
}

impl Urls {
    /// Those of an Enterprise Server at `origin`, such as `http://127.0.0.1:8080`.
    pub fn enterprise(origin: &str) -> Self {
        let origin = origin.trim_end_matches('/');
        Self { api: format!("{origin}/api/v3"), web: origin.to_owned() }
    }
}

impl Default for Urls {
    fn default() -> Self {
        Self { api: "https://api.github.com".to_owned(), web: "https://github.com".to_owned() }
    }
}

/// Accounts and repositories: all that a read can show. Cloned where a stale replica is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct World {
    users: BTreeMap<String, User>,
    pub(super) repositories: BTreeMap<u64, Repository>,
    /// Every name that a repository ever had, folded. A name that was left behind redirects until another repository takes it.
    names: BTreeMap<String, u64>,
}

impl World {
    pub(super) fn user(&self, login: &str) -> Option<&User> {
        self.users.get(login).or_else(|| self.users.get(&fold(login)))
    }

    pub(super) fn insert_user(&mut self, user: User) {
        self.users.insert(fold(&user.login), user);
    }

    /// The repository that `owner/name` names now or named before.
    pub(super) fn named(&self, full_name: &str) -> Option<&Repository> {
        self.repositories.get(self.names.get(&fold(full_name))?)
    }

    pub(super) fn name(&mut self, full_name: &str, id: u64) {
        self.names.insert(fold(full_name), id);
    }
}

/// A token and what it may do.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) secret: String,
    pub(super) login: String,
    pub(super) only: Option<Vec<u64>>,
    pub(super) writes: bool,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // S47: the token itself is never shown.
        let Self { secret: _, login, only, writes } = self;
        f.debug_struct("Token")
            .field("login", login)
            .field("only", only)
            .field("writes", writes)
            .finish_non_exhaustive()
    }
}

/// A deterministic forge that behaves as GitHub does. See the [module](super) for how to use it.
#[derive(Clone)]
pub struct Forge {
    pub(super) seed: u64,
    pub(super) rng: Rng,
    pub(super) urls: Urls,
    pub(super) world: World,
    pub(super) tokens: Vec<Token>,
    pub(super) limits: Limits,
    pub(super) usage: BTreeMap<String, Usage>,
    pub(super) hooks: BTreeMap<u64, Hook>,
    pub(super) outbox: Vec<Delivery>,
    pub(super) sent: VecDeque<Delivery>,
    /// How receivers answered, by the delivery's id.
    pub(super) answers: BTreeMap<String, u16>,
    /// Lines that the log of deliveries has had.
    pub(super) lines: u64,
    pub(super) effects: Vec<Effect>,
    pub(super) writes: BTreeMap<Operation, u64>,
    pub(super) requests: u64,
    next_id: u64,
}

impl fmt::Debug for Forge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forge")
            .field("seed", &self.seed)
            .field("urls", &self.urls)
            .field("repositories", &self.world.repositories.len())
            .field("requests", &self.requests)
            .field("effects", &self.effects.len())
            .finish_non_exhaustive()
    }
}

impl Forge {
    /// An empty forge. The same seed and the same calls give the same bytes.
    pub fn seeded(seed: u64) -> Self {
        Self {
            seed,
            rng: Rng::stream(seed, "forge"),
            urls: Urls::default(),
            world: World::default(),
            tokens: Vec::new(),
            limits: Limits::default(),
            usage: BTreeMap::new(),
            hooks: BTreeMap::new(),
            outbox: Vec::new(),
            sent: VecDeque::new(),
            answers: BTreeMap::new(),
            lines: 0,
            effects: Vec::new(),
            writes: BTreeMap::new(),
            requests: 0,
            // Native ids outgrew 32 bits long ago: a reader that cuts them is found out at once.
            next_id: 4_300_000_000,
        }
    }

    /// The base URLs in use.
    pub fn urls(&self) -> &Urls {
        &self.urls
    }

    /// Moves the forge to other base URLs, such as those of the socket that serves it.
    pub fn set_urls(&mut self, urls: Urls) {
        self.urls = urls;
    }

    /// Sets the rate limits.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// `login` at `now`: the hand that makes native changes. The account is made if it is not there.
    pub fn by(&mut self, login: &str, now: DateTime<Utc>) -> Actor<'_> {
        self.ensure_user(login, UserKind::User);
        Actor::new(self, login, now, Via::Native)
    }

    /// Makes an organization, unless the login is taken.
    pub fn organization(&mut self, login: &str) {
        self.ensure_user(login, UserKind::Organization);
    }

    /// Gives out a token of `login` that sees and writes every repository. A login that ends in `[bot]` is an App's account.
    pub fn add_token(&mut self, secret: &str, login: &str) {
        let kind = if login.ends_with("[bot]") { UserKind::Bot } else { UserKind::User };
        self.ensure_user(login, kind);
        self.revoke_token(secret);
        self.tokens.push(Token { secret: secret.to_owned(), login: login.to_owned(), only: None, writes: true });
    }

    /// Narrows a token to these repositories; private others are as if they were not there. Unknown names are left out.
    pub fn restrict_token(&mut self, secret: &str, repositories: &[&str]) {
        let ids =
            repositories.iter().filter_map(|name| self.world.named(name)).map(|repository| repository.id).collect();
        if let Some(token) = self.tokens.iter_mut().find(|token| token.secret == secret) {
            token.only = Some(ids);
        }
    }

    /// Takes the right to write from a token.
    pub fn make_token_read_only(&mut self, secret: &str) {
        if let Some(token) = self.tokens.iter_mut().find(|token| token.secret == secret) {
            token.writes = false;
        }
    }

    /// Makes a token bad: every request with it answers 401 from now on.
    pub fn revoke_token(&mut self, secret: &str) {
        self.tokens.retain(|token| token.secret != secret);
    }

    /// The repository that `owner/name` names now or named before.
    pub fn repository(&self, full_name: &str) -> Option<&Repository> {
        self.world.named(full_name)
    }

    /// Every repository, by id.
    pub fn repositories(&self) -> impl Iterator<Item = &Repository> {
        self.world.repositories.values()
    }

    /// The issue or pull request with that number, where it is there.
    pub fn issue(&self, full_name: &str, number: u64) -> Option<&Issue> {
        self.repository(full_name)?.issue(number)
    }

    /// Names of the labels of an issue or pull request, sorted; empty where it is not there.
    pub fn label_names(&self, full_name: &str, number: u64) -> Vec<&str> {
        self.repository(full_name)
            .and_then(|repository| Some(repository.label_names(repository.issue(number)?)))
            .unwrap_or_default()
    }

    /// The comments on an issue or pull request, oldest first; empty where it is not there.
    pub fn comments(&self, full_name: &str, number: u64) -> Vec<&Comment> {
        let found = self.repository(full_name).and_then(|repository| {
            let issue = repository.issue(number)?;
            Some(issue.comments.iter().filter_map(|id| repository.comments.get(id)).collect())
        });
        found.unwrap_or_default()
    }

    /// The account of that login.
    pub fn user(&self, login: &str) -> Option<&User> {
        self.world.user(login)
    }

    /// How often each operation was carried out, native changes and REST requests together (for S34).
    pub fn writes(&self) -> &BTreeMap<Operation, u64> {
        &self.writes
    }

    /// Everything that was carried out, in order, with actor and way in.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// Requests that an account's budget of this hour was charged for.
    pub fn charged(&self, login: &str) -> u64 {
        self.usage.get(login).map_or(0, |usage| usage.used)
    }

    /// How many REST requests were answered, refused ones included.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    pub(super) fn ensure_user(&mut self, login: &str, kind: UserKind) {
        if self.world.user(login).is_none() {
            let id = self.fresh_id();
            self.world.insert_user(User { login: login.to_owned(), id, kind });
        }
    }

    /// A native id that was never given before. Ids grow, and leave gaps as those of a busy forge do.
    pub(super) fn fresh_id(&mut self) -> u64 {
        let gap = self.rng.below(1000).saturating_add(1);
        self.next_id = self.next_id.saturating_add(gap);
        self.next_id
    }

    /// A commit id.
    pub(super) fn fresh_sha(&mut self) -> String {
        format!("{:016x}{:016x}{:08x}", self.rng.next(), self.rng.next(), self.rng.next() >> 32)
    }

    pub(super) fn fresh_label(&mut self, name: &str, color: &str) -> Label {
        Label { id: self.fresh_id(), name: name.to_owned(), color: color.to_owned(), description: None, default: false }
    }

    pub(super) fn slot(&self, repository: u64, number: u64) -> Option<&Slot> {
        self.world.repositories.get(&repository)?.slots.get(&number)
    }
}
