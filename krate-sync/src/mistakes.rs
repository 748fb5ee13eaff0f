//! Deliberate mistakes, for the simulation to find. They are compiled in with `--cfg krate_mistakes` only, which nothing but `scripts/mistakes` sets: in every
//! other build `made` is `false` at compile time. Design.md section 7.

macro_rules! mistakes {
    ($($name:ident = $text:literal: $what:literal $(as $seen:literal)?,)+) => {
        /// A mistake.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mistake {
            $(#[doc = $what] $name,)+
        }

        impl Mistake {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Its name in the table.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// What is done wrong.
            pub fn what(self) -> &'static str {
                match self { $(Self::$name => $what,)+ }
            }

            /// Where a sync tool did it, too: a report in a public tracker on GitHub.
            pub fn seen(self) -> Option<&'static str> {
                let seen: &'static str = match self { $(Self::$name => concat!("", $($seen)?),)+ };
                (!seen.is_empty()).then_some(seen)
            }
        }
    };
}

mistakes! {
    TwoWayCompare = "two-way-compare": "what the provider shows is taken, whatever was wished for here" as "overleaf-workshop/Overleaf-Workshop#375",
    LastLocalWins = "last-local-wins": "what is wished for here is written, whatever the provider shows" as "genesis-ai-dev/codex-editor#798",
    EchoUnknown = "echo-unknown": "an own write on its way isn't recognised when it comes back" as "ibericode/mailchimp-user-sync#46",
    BaseStaysOnTake = "base-stays-on-take": "the base doesn't move with a value that is taken",
    BaseMovesOnConflict = "base-moves-on-conflict": "the base moves to the other side's value while the two are in conflict",
    ConflictForgotten = "conflict-forgotten": "a conflict is found, and no record of it is made",
    ConflictConverges = "conflict-converges": "any later observation ends a conflict",
    ConflictNotHeld = "conflict-not-held": "a field in conflict is written all the same",
    UnsentStays = "unsent-stays": "a write that isn't sent yet stays when its field comes into conflict",
    LostEditForgotten = "lost-edit-forgotten": "an edit that was written over unseen is dropped as old news",
    LostEditAgrees = "lost-edit-agrees": "an own echo makes both sides agree about an edit that was written over",
    OlderWins = "older-wins": "an older observation replaces a newer one" as "syncthing/syncthing#1306",
    ArrivalOrders = "arrival-orders": "of two observations the one that arrives later counts",
    SameSecondIsSame = "same-second-is-same": "two contents of one second are taken for one",
    HydrationForgotten = "hydration-forgotten": "an object that nobody can tell the state of isn't read again",
    TombstoneForgotten = "tombstone-forgotten": "a late observation revives what was deleted" as "couchbase/sync_gateway#426",
    DeletionIgnored = "deletion-ignored": "what a complete run doesn't meet stays" as "jabbermarky/icecream#21",
    BuryUnasked = "bury-unasked": "what no page showed is gone, without a question" as "the-djmaze/snappymail#2060",
    MissingIsGone = "missing-is-gone": "a read that answers 404 buries the object" as "gitlabhq/terraform-provider-gitlab#130",
    FirstPageOnly = "first-page-only": "a list ends with its first page" as "crossminer/scava#314",
    LastRowDropped = "last-row-dropped": "the last row of each page is left out" as "constructorfabric/insight#3376",
    ParentDropped = "parent-dropped": "a comment in a list is dropped where its issue isn't known yet",
    WriteUnlooked = "write-unlooked": "a write is sent without a look at what is there",
    LookFailureIgnored = "look-failure-ignored": "a look that failed is taken for one that showed nothing new",
    RetryUnverified = "retry-unverified": "a write whose outcome is unknown is sent again without a look" as "zesthq/bizbox#36",
    UnknownIsRefused = "unknown-is-refused": "a write that has no answer counts as surely not carried out",
    UnknownIsDone = "unknown-is-done": "a write that has no answer counts as carried out",
    SentIsDone = "sent-is-done": "a write counts as done before it is sent",
    ConfirmationForgotten = "confirmation-forgotten": "what a webhook showed while the outcome was unknown is forgotten",
    LagIgnored = "lag-ignored": "an effect is looked for at once, and a replica that is behind doesn't show it",
    LeaseIgnored = "lease-ignored": "whoever stood still sends although another process has taken its write over" as "dotnet/dotnet-operator-sdk#784",
    RecoveredAlive = "recovered-alive": "a write is taken over from a process that is alive",
    MarkerIgnored = "marker-ignored": "what was made here isn't recognised by its marker",
    MadeForgotten = "made-forgotten": "what a create made is looked for in the list only, though a webhook has shown it" as "remenoscodes/git-native-issue#91",
    OrderIgnored = "order-ignored": "a write doesn't wait for the one before it",
    LabelsTwice = "labels-twice": "labels on their way are planned again",
    LabelProofForgotten = "label-proof-forgotten": "the base of labels stays although their write is proven",
    WishKept = "wish-kept": "a write that a person took back stays wished for",
    WishLost = "wish-lost": "what was wished for during a conflict isn't planned when it ends",
    ExternalIgnored = "external-ignored": "preferExternal leaves the local value",
    KrateIgnored = "krate-ignored": "preferKrate takes the provider's value",
    StaleDecision = "stale-decision": "a decision counts although the field was changed since",
    RaceDropped = "race-dropped": "an observation that loses a race for its object is dropped",
    NamedNotKnown = "named-not-known": "requests go to the repository's name, not its id" as "tdurieux/anonymous_github#409",
    LimitHammered = "limit-hammered": "a limit whose time is over by a clock that is ahead is asked about in a loop" as "octokit/plugin-throttling.js#566",
    PartIsWhole = "part-is-whole": "a write of several fields counts as shown when one of them is",
    AnythingProves = "anything-proves": "whatever is seen of an object proves the write that is on its way to it",
    WholeObjectWritten = "whole-object-written": "a write of one field carries the others as they stand here",
    KeyWithoutPayload = "key-without-payload": "two writes of one kind to one object have one key, whatever they write",
    KeyWithoutGeneration = "key-without-generation": "a wish that comes back has the key of the first time",
    RecoverForgotten = "recover-forgotten": "what a process was sending when it died isn't taken over",
    RetryForgotten = "retry-forgotten": "a write that failed for a while isn't sent again",
    PauseForgets = "pause-forgets": "a write that meets a pause is cancelled",
    RevivalForgotten = "revival-forgotten": "a read that finds an object again doesn't bring it back",
    SetTwoWay = "set-two-way": "labels are added up without a base, so that none can be removed",
    RacesUnchecked = "races-unchecked": "a record is written over whatever another process made of it",
    CreateUnmarked = "create-unmarked": "what is made carries nothing by which it is found again",
    MergedNotTaken = "merged-not-taken": "what a merge took from the provider isn't shown here",
    WatermarkAhead = "watermark-ahead": "a list's watermark is the time at which it ended, not the newest that it showed",
    TimesAsText = "times-as-text": "two versions are compared as text, hours without a leading zero",
    SignatureUnchecked = "signature-unchecked": "a webhook is taken in whoever signed it",
    DoneUnapplied = "done-unapplied": "a webhook counts as done though what it is about couldn't be read",
    RemovalForgotten = "removal-forgotten": "a label that is taken away here stays at the provider",
    MergeDropsTheirs = "merge-drops-theirs": "a text that both sides changed is written as it stands here",
    StateForgotten = "state-forgotten": "whether an issue is open is compared, and never written",
    LimitNeverOver = "limit-never-over": "a list that met a limit never goes on",
}

#[cfg(krate_mistakes)]
static MADE: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(usize::MAX);

/// Makes a mistake from now on, or none.
#[cfg(krate_mistakes)]
pub fn make(mistake: Option<Mistake>) {
    let number = mistake.map_or(usize::MAX, |mistake| mistake as usize);
    MADE.store(number, std::sync::atomic::Ordering::SeqCst);
}

/// Whether this mistake is made.
#[cfg(krate_mistakes)]
pub(crate) fn made(mistake: Mistake) -> bool {
    MADE.load(std::sync::atomic::Ordering::Relaxed) == mistake as usize
}

/// Whether this mistake is made: never, in this build.
#[cfg(not(krate_mistakes))]
pub(crate) const fn made(_: Mistake) -> bool {
    false
}
