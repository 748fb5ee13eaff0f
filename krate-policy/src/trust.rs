//! How far the causes of an action are trusted (permission-review.md section 7; P23, P34 to P38, P56, P57, P64).
//!
//! A chain of causes holds facts only: who did what, as which account, seen how by the provider. Levels are computed here and never taken from
//! a request. What steers an action is every text that can change what it does, so one stranger in the chain makes it a stranger's.
//!
//! ```
//! use krate_policy::trust::{Account, Association, Cause, Level, Source, Standing, Steering, assess};
//!
//! let account = |id| Account { provider: "github", id };
//! // A maintainer puts a label on a stranger's issue.
//! let mut label = Cause::new(Source::Label, account("1"));
//! label.verified = true;
//! label.gate.association = Some(Association::Owner);
//! label.steering.push(Steering { account: Some(account("2")), association: Some(Association::None) });
//! let standing = |who: Account<'_>| if who.id == "1" { Standing::Maintain } else { Standing::Unmapped };
//! let trust = assess(&[label], standing);
//! assert_eq!((trust.gate, trust.steering), (Level::Maintainer, Level::External), "leave to run is no trust in the text (P34)");
//! ```

use std::collections::BTreeSet;
use std::fmt;

use serde::{Serialize, Serializer};

/// Longest chain of causes (P38).
pub const MAX_CAUSES: usize = 16;

/// How far somebody is trusted, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// No account at all.
    Anonymous,
    /// An account that nobody vouches for.
    External,
    /// Its first contribution.
    FirstTime,
    /// Contributed before, or may read and triage.
    Contributor,
    /// May write.
    Member,
    /// May maintain or administer.
    Maintainer,
}

impl Level {
    /// Every level, the least first.
    pub const ALL: [Self; 6] =
        [Self::Anonymous, Self::External, Self::FirstTime, Self::Contributor, Self::Member, Self::Maintainer];

    /// The spec's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::External => "external",
            Self::FirstTime => "first-time",
            Self::Contributor => "contributor",
            Self::Member => "member",
            Self::Maintainer => "maintainer",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.as_str())
    }
}

/// An account, by the id that never changes. Logins, addresses and display names prove nothing (P64).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account<'a> {
    /// The provider instance.
    pub provider: &'a str,
    /// The stable id there.
    pub id: &'a str,
}

/// What the provider said of an account when the event happened (P35).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Association {
    /// Owns the repository.
    Owner,
    /// Is in the organization that owns it.
    Member,
    /// Was invited to it.
    Collaborator,
    /// Contributed before.
    Contributor,
    /// Contributes to this repository for the first time.
    FirstTimeContributor,
    /// Contributes anywhere for the first time.
    FirstTimer,
    /// A placeholder for an account that was claimed by nobody.
    Mannequin,
    /// None.
    None,
    /// GitLab's access level: 10 guest, 20 reporter, 30 developer, 40 maintainer, 50 owner.
    AccessLevel(u8),
    /// A word that this version doesn't know.
    Unknown,
}

impl Association {
    /// Reads GitHub's `author_association`; what isn't known is [`Association::Unknown`].
    pub fn from_github(word: &str) -> Self {
        match word {
            "OWNER" => Self::Owner,
            "MEMBER" => Self::Member,
            "COLLABORATOR" => Self::Collaborator,
            "CONTRIBUTOR" => Self::Contributor,
            "FIRST_TIME_CONTRIBUTOR" => Self::FirstTimeContributor,
            "FIRST_TIMER" => Self::FirstTimer,
            "MANNEQUIN" => Self::Mannequin,
            "NONE" => Self::None,
            _ => Self::Unknown,
        }
    }

    /// The most that somebody so associated can be.
    pub const fn ceiling(self) -> Level {
        match self {
            Self::Owner | Self::Member | Self::Collaborator | Self::AccessLevel(30..) => Level::Maintainer,
            Self::Contributor | Self::AccessLevel(_) => Level::Contributor,
            Self::FirstTimeContributor | Self::FirstTimer => Level::FirstTime,
            Self::Mannequin | Self::None | Self::Unknown => Level::External,
        }
    }
}

/// What krate itself knows of an account on the repository in question, from a verified identity mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// No mapping, or one that was not verified.
    Unmapped,
    /// Verified; may read or triage.
    Read,
    /// Verified; may write.
    Write,
    /// Verified; may maintain or administer.
    Maintain,
}

impl Standing {
    /// The most that somebody of this standing can be.
    pub const fn ceiling(self) -> Level {
        match self {
            Self::Unmapped | Self::Read => Level::Contributor,
            Self::Write => Level::Member,
            Self::Maintain => Level::Maintainer,
        }
    }
}

/// The level of one account: the lower of what its provider says and what krate knows (P35). What the provider doesn't say counts as unknown.
pub fn level(association: Option<Association>, standing: Standing) -> Level {
    association.unwrap_or(Association::Unknown).ceiling().min(standing.ceiling())
}

/// What kind of event a cause is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Source {
    /// A branch or tag was pushed.
    Push,
    /// A pull request or a review of one.
    PullRequest,
    /// An issue, or a comment with a command.
    Issue,
    /// A label was put on something.
    Label,
    /// A CI run ended.
    Ci,
    /// A schedule's time came; the gate is its owner.
    Schedule,
    /// A person asked.
    Manual,
    /// Another system called.
    Webhook,
    /// An agent, a sync or a memory acted; its own causes follow it in the chain.
    Automation,
}

/// Somebody whose content can steer the action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steering<'a> {
    /// Who; absent for somebody without an account.
    pub account: Option<Account<'a>>,
    /// What the provider said.
    pub association: Option<Association>,
}

/// A head and where it belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    /// The head's repository; absent when it is gone or the event doesn't say.
    pub repository_id: Option<&'a str>,
    /// The repository that it is proposed to.
    pub base_repository_id: &'a str,
    /// The commit.
    pub sha: &'a str,
}

impl Head<'_> {
    /// Whether it comes from a fork: a fact of the event, of no ref's name (P23).
    pub fn is_fork(&self) -> bool {
        self.repository_id != Some(self.base_repository_id)
    }
}

/// One event that led to the action.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cause<'a> {
    /// What it was.
    pub source: Source,
    /// Whether its origin was proven, by a signature or by krate's own records.
    pub verified: bool,
    /// Who started it: the account behind the gate, and what the provider said of it.
    pub gate: Steering<'a>,
    /// Everybody whose content steers.
    pub steering: Vec<Steering<'a>>,
    /// The rule that fired.
    pub rule: Option<&'a str>,
    /// The object that it was about.
    pub object: Option<&'a str>,
    /// The head that it was about.
    pub head: Option<Head<'a>>,
    /// The level that an administrator declared for a webhook source; absent is `external`.
    pub declared: Option<Level>,
    /// Whether a machine did what the event tells, such as the comment of a run or of krate's own account: no person acted then (P38).
    pub by_machine: bool,
}

impl<'a> Cause<'a> {
    /// A cause that `account` started, of which nothing else is known yet: not verified, steered by nobody.
    pub fn new(source: Source, account: Account<'a>) -> Self {
        let gate = Steering { account: Some(account), association: None };
        Self {
            source,
            verified: false,
            gate,
            steering: Vec::new(),
            rule: None,
            object: None,
            head: None,
            declared: None,
            by_machine: false,
        }
    }

    /// Whether a person acted here, so that what follows is no loop of machines (P38).
    const fn is_persons_act(&self) -> bool {
        !self.by_machine && !matches!(self.source, Source::Automation | Source::Schedule | Source::Ci | Source::Webhook)
    }

    /// Whether somebody else's text steers here, whose author has to be named (P34): who reviews, reopens or labels it isn't who wrote it.
    const fn is_about_a_text(&self) -> bool {
        matches!(self.source, Source::Label | Source::Ci | Source::PullRequest)
    }
}

/// Why a level is as low as it is, by the place in the chain of causes; it reads as that field's path, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Because {
    /// This actor of the cause at this place (0 is the newest) has this level.
    Actor {
        /// Place in the chain.
        cause: usize,
        /// Place among those who steer it; `None` is its gate.
        steering: Option<usize>,
        /// Its level.
        level: Level,
    },
    /// The cause's origin was not proven.
    Unverified {
        /// Place in the chain.
        cause: usize,
    },
    /// Somebody else's text steers here, and nobody says whose.
    MissingAuthor {
        /// Place in the chain.
        cause: usize,
    },
    /// Automation without a cause (P36).
    NoCause,
}

impl fmt::Display for Because {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Actor { cause, steering: None, level } => write!(to, "causeChain[{cause}].gate is {level}"),
            Self::Actor { cause, steering: Some(at), level } => {
                write!(to, "causeChain[{cause}].steering[{at}] is {level}")
            }
            Self::Unverified { cause } => write!(to, "causeChain[{cause}] is not verified"),
            Self::MissingAuthor { cause } => write!(to, "causeChain[{cause}] doesn't say whose text it is about"),
            Self::NoCause => to.write_str("causeChain ends at no person"),
        }
    }
}

impl Serialize for Because {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a chain of causes is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// The level of who may start: of the newest cause that isn't automation.
    pub gate: Level,
    /// The lowest level of all that steer, through the whole chain (P34).
    pub steering: Level,
    /// Whether any cause is about a fork's head.
    pub is_fork: bool,
    /// Whether the chain is too long or meets itself (P38).
    pub is_loop: bool,
    /// What brought `steering` down to where it is.
    pub because: Vec<Because>,
}

impl Trust {
    /// Whether it counts as untrusted: a fork, or below member (section 1).
    pub fn is_untrusted(&self) -> bool {
        self.is_fork || self.steering < Level::Member
    }
}

/// Computes what a chain of causes, newest first, is worth; `standing` says what krate knows of an account now.
///
/// Total: an empty chain, or one that ends in automation, is worth `external` at most; one longer than [`MAX_CAUSES`] is a loop. Adding a
/// cause, or an actor where the author is known, never raises `steering` (P62).
pub fn assess<'a>(causes: &[Cause<'a>], standing: impl Fn(Account<'a>) -> Standing) -> Trust {
    let mut found: Vec<Because> = Vec::new();
    for (cause, event) in causes.iter().enumerate() {
        if !event.verified {
            found.push(Because::Unverified { cause });
        }
        if event.is_about_a_text() && event.steering.is_empty() {
            found.push(Because::MissingAuthor { cause });
        }
        // Whoever stands at the gate of automation is a machine: its own cause comes next.
        let gate = steers_by_gate(event.source).then_some((None, &event.gate));
        let others = event.steering.iter().enumerate().map(|(at, actor)| (Some(at), actor));
        for (steering, actor) in gate.into_iter().chain(others) {
            found.push(Because::Actor { cause, steering, level: level_of(actor, event, &standing) });
        }
    }
    let ends_in_automation = causes.last().is_none_or(|last| last.source == Source::Automation);
    if ends_in_automation {
        found.push(Because::NoCause);
    }
    let steering = found.iter().map(level_because).min().unwrap_or(Level::External);
    let gate = starter(causes).map_or(Level::External, |cause| {
        let level = level_of(&cause.gate, cause, &standing);
        if cause.verified { level } else { level.min(Level::External) }
    });
    found.retain(|because| level_because(because) == steering);
    Trust {
        gate,
        steering,
        is_fork: causes.iter().filter_map(|cause| cause.head).any(|head| head.is_fork()),
        is_loop: is_loop(causes),
        because: found,
    }
}

/// The cause whose gate counts: the newest that isn't automation, behind whose gate a machine stands.
pub(crate) fn starter<'c, 'a>(causes: &'c [Cause<'a>]) -> Option<&'c Cause<'a>> {
    causes.iter().find(|cause| cause.source != Source::Automation)
}

/// Whether the one who starts also decides what is done. A label's applier, a reviewer or whoever triggered a CI run says only *that* it is
/// done; the texts are the authors' (P34).
const fn steers_by_gate(source: Source) -> bool {
    match source {
        Source::Push | Source::Issue | Source::Schedule | Source::Manual | Source::Webhook | Source::PullRequest => {
            true
        }
        Source::Label | Source::Ci | Source::Automation => false,
    }
}

fn level_of<'a>(actor: &Steering<'a>, event: &Cause<'a>, standing: &impl Fn(Account<'a>) -> Standing) -> Level {
    let Some(account) = actor.account else {
        return if event.source == Source::Webhook {
            event.declared.unwrap_or(Level::External)
        } else {
            Level::Anonymous
        };
    };
    match event.source {
        // krate's own records name the person: there is no provider between.
        Source::Schedule | Source::Manual => match standing(account) {
            Standing::Unmapped => Level::External,
            known => known.ceiling(),
        },
        Source::Webhook => event.declared.unwrap_or(Level::External),
        _ => level(actor.association, standing(account)),
    }
}

const fn level_because(because: &Because) -> Level {
    match because {
        Because::Actor { level, .. } => *level,
        Because::Unverified { .. } | Because::MissingAuthor { .. } | Because::NoCause => Level::External,
    }
}

/// Too long, or the same rule on the same object twice with no person's act in between (P38).
fn is_loop(causes: &[Cause<'_>]) -> bool {
    if causes.len() > MAX_CAUSES {
        return true;
    }
    let mut met = BTreeSet::new();
    for cause in causes {
        if let (Some(rule), Some(object)) = (cause.rule, cause.object)
            && !met.insert((rule, object))
        {
            return true;
        }
        if cause.is_persons_act() {
            met.clear();
        }
    }
    false
}
