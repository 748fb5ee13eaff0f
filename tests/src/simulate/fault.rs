//! Everything that can go wrong, as a closed list.

use std::fmt;

/// Where a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Webhooks on their way in.
    Inbound,
    /// Lists and reads.
    Reading,
    /// Writes on their way out.
    Outbound,
    /// The process, its store, its clock and its neighbours.
    Controller,
}

macro_rules! faults {
    ($($group:ident { $($name:ident = $text:literal: $what:literal,)+ })+) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $($(#[doc = $what] $name,)+)+
        }

        impl Fault {
            /// Every kind, in the order in which they are listed.
            pub const ALL: &[Self] = &[$($(Self::$name,)+)+];

            /// Its name on a command line and in reports.
            pub fn as_str(self) -> &'static str {
                match self { $($(Self::$name => $text,)+)+ }
            }

            /// What happens.
            pub fn what(self) -> &'static str {
                match self { $($(Self::$name => $what,)+)+ }
            }

            /// Where it strikes.
            pub fn group(self) -> Group {
                match self { $($(Self::$name => Group::$group,)+)+ }
            }
        }
    };
}

faults! {
    Inbound {
        DeliveryDropped = "delivery-dropped": "a webhook never arrives",
        DeliveryRepeated = "delivery-repeated": "a webhook arrives twice with the same id",
        DeliveryDoubled = "delivery-doubled": "a webhook arrives twice with two ids",
        DeliveryReordered = "delivery-reordered": "a webhook arrives after the next ones",
        DeliveryDelayed = "delivery-delayed": "a webhook arrives up to 40 minutes late",
        DeliveryReplayed = "delivery-replayed": "an old webhook is sent once more, hours later",
        DeliveryTooBig = "delivery-too-big": "a webhook is too big, and the provider never sends it",
        DeliveryRefusedBig = "delivery-refused-big": "a webhook is bigger than what is taken in, and is refused",
        DeliveryForged = "delivery-forged": "somebody who doesn't know the secret sends a webhook of their own",
        DeliveryUnsigned = "delivery-unsigned": "a webhook arrives without its signature first",
        DeliveryTampered = "delivery-tampered": "a webhook's body is changed on its way",
        DeliveryUnknownEvent = "delivery-unknown-event": "a webhook of an event that nobody has heard of arrives",
        DeliveryUnknownField = "delivery-unknown-field": "a webhook has members that nobody has heard of",
        DeliveryUnknownAction = "delivery-unknown-action": "a webhook tells an action that nobody has heard of",
        DeliveryUnreadable = "delivery-unreadable": "a webhook lacks what it is about, and can't be read",
        DeliveryForeign = "delivery-foreign": "a webhook is about a repository that nobody binds",
        DeliveryThrottled = "delivery-throttled": "a burst of webhooks meets a receiver that takes none of them",
        DeliveryAfterRestart = "delivery-after-restart": "a webhook is taken in, and the process dies before it looks at it",
        HookDisabled = "hook-disabled": "the provider disables the hook for a while",
        SecretRotated = "secret-rotated": "the webhook secret is rotated while both are known",
        SecretRotatedUnseen = "secret-rotated-unseen": "the webhook secret is rotated, and the process learns it late",
    }
    Reading {
        InsertWhilePaging = "insert-while-paging": "somebody makes an object between two pages",
        EditWhilePaging = "edit-while-paging": "somebody edits an object between two pages, and the rows shift",
        DeleteWhilePaging = "delete-while-paging": "somebody deletes an object between two pages",
        RowMissing = "row-missing": "a page lacks a row that is there",
        RowTwice = "row-twice": "a page has a row twice",
        PageTwice = "page-twice": "the cursor leads back to the page that it came from",
        PageCutShort = "page-cut-short": "a page doesn't tell that there are more",
        PageEmpty = "page-empty": "a page is empty though there are rows",
        CursorExpired = "cursor-expired": "the cursor of the next page is refused",
        ReplicaBehind = "replica-behind": "reads show for a while what was there before",
        EqualTimestamps = "equal-timestamps": "two people edit one object in the same second",
        ReadForbiddenAsMissing = "read-forbidden-as-missing": "a read answers 404 where it means that it is forbidden",
        ReadForbidden = "read-forbidden": "a read answers 403",
        ReadUnauthorized = "read-unauthorized": "a read answers 401",
        ReadFails = "read-fails": "a read answers 502",
        ReadLost = "read-lost": "the answer to a read never comes",
        ReadTruncated = "read-truncated": "the answer to a read ends in the middle",
        ReadNotJson = "read-not-json": "a read answers 200 with a page for people",
        ReadSlow = "read-slow": "the answer to a read takes minutes",
        RepositoryRenamed = "repository-renamed": "the repository gets another name",
        RepositoryTransferred = "repository-transferred": "the repository goes to another owner",
        NameReused = "name-reused": "the repository is renamed, and another one takes its old name",
    }
    Outbound {
        PrimaryLimit = "primary-limit": "the quota of the hour is spent",
        SecondaryLimit = "secondary-limit": "the secondary limit strikes the caller",
        WriteRetryAfter = "write-retry-after": "a write answers 503 and says when to try again",
        WriteFailsBefore = "write-fails-before": "a write answers 502 and was not carried out",
        WriteFailsAfter = "write-fails-after": "a write answers 502 and was carried out",
        WriteRequestLost = "write-request-lost": "a write never arrives, and has no answer",
        WriteAnswerLost = "write-answer-lost": "a write is carried out, and its answer is lost",
        WriteUnseen = "write-unseen": "a write is carried out, its answer is lost, and reads don't show it for seconds",
        WriteRefusedConnection = "write-refused-connection": "a write can't be sent at all",
        WriteTimesOut = "write-times-out": "a write is carried out, and minutes later there is still no answer",
        WritePartly = "write-partly": "a write of several fields is carried out for one of them, and answers 502",
        WriteAnswerTruncated = "write-answer-truncated": "a write is carried out, and its answer ends in the middle",
        WritePreconditionFailed = "write-precondition-failed": "a write answers 412",
        WriteForbidden = "write-forbidden": "a write answers 403",
        WriteForbiddenAsMissing = "write-forbidden-as-missing": "a write answers 404 where it means that it is forbidden",
        EditBeforeWrite = "edit-before-write": "somebody edits the object between the look and the write",
        EditWhileSending = "edit-while-sending": "somebody edits here what is being sent, and another process works before it arrives",
        EchoBeforeAnswer = "echo-before-answer": "the webhook of a write arrives before its answer",
        TokenRevoked = "token-revoked": "the token is revoked, and given back later",
        TokenReadOnly = "token-read-only": "the token may not write for a while",
        ApprovalWithdrawn = "approval-withdrawn": "who approved a write takes that back before it is sent",
    }
    Controller {
        CrashBeforeCommit = "crash-before-commit": "the process dies before a commit is durable",
        CrashAfterCommit = "crash-after-commit": "the process dies after a commit is durable",
        RestartCold = "restart-cold": "the process stops and another one starts",
        CommitConflict = "commit-conflict": "somebody else was faster at a commit",
        CommitRefused = "commit-refused": "the store takes a commit not at all",
        CommitAnswerLost = "commit-answer-lost": "a commit is durable, and nobody is told",
        StoreDown = "store-down": "the store can't be read for a while",
        CacheStale = "cache-stale": "the store answers with the state before the last change",
        WatchMissed = "watch-missed": "the watch doesn't tell of what came in while the process waited",
        WatchExpired = "watch-expired": "what a watch asks for is no longer in the store's history",
        VersionSkew = "version-skew": "a process of a newer version takes a record over, in a phase that this one doesn't know",
        TwoLeaders = "two-leaders": "another process works in the middle of a call",
        StalledBeforeSend = "stalled-before-send": "the process stands still before it sends, and another one takes its work over",
        SlowBeforeSend = "slow-before-send": "the process takes a minute and a half before it sends, and another one looks again and again meanwhile",
        StalledInRead = "stalled-in-read": "the process stands still before it goes on with what it read, and another one takes its work over",
        StalledAfterSend = "stalled-after-send": "the process stands still after it sent, and another one takes its work over",
        ClockBack = "clock-back": "the process's clock is set back",
        ClockForward = "clock-forward": "the process's clock is set forward",
        SecretsUnavailable = "secrets-unavailable": "the secrets can't be read for a while",
        BindingPaused = "binding-paused": "somebody pauses the binding, and resumes it later",
        RunAsked = "run-asked": "somebody asks for a run of all lists in the middle of things",
    }
}

impl Fault {
    /// Whether it is about approvals: there are some only in histories with agents.
    pub fn is_about_approvals(self) -> bool {
        self == Self::ApprovalWithdrawn
    }

    /// The fault of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fault| fault.as_str() == name)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
