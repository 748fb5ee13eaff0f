//! Deciding: `resolve`, `approve`, `deny`, `withdraw`, `cancel`, `backfill`, `delivery`.

use http::Method;
use krate_model::Kind;
use serde_json::{Value, json};

use super::{Api, Failed, Server, text};
use crate::error::{Answer, Error};
use crate::output::{Format, Output};

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Side {
    /// What the provider has
    External,
    /// What stands here
    Krate,
}

#[derive(Debug, clap::Args)]
#[group(id = "decision", required = true, multiple = false, args = ["prefer", "value", "reviewed", "ignore"])]
pub(crate) struct ResolveArgs {
    #[command(flatten)]
    server: Server,
    /// The conflict
    conflict: String,
    /// Take one side's value
    #[arg(long, value_enum, value_name = "SIDE")]
    prefer: Option<Side>,
    /// Take this value for both sides, as JSON
    #[arg(long, value_name = "JSON")]
    value: Option<String>,
    /// Write what stands here once another person has approved it
    #[arg(long)]
    reviewed: bool,
    /// Leave both sides as they are, until one of them moves again
    #[arg(long)]
    ignore: bool,
    /// Why
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// For whom
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
}

impl ResolveArgs {
    /// The decision, about the versions in `conflict`.
    fn body(&self, conflict: &Value) -> Result<Value, Error> {
        let mut body = json!({"seenVersions": conflict.pointer("/spec/versions")});
        if let Some(comment) = &self.comment {
            body["comment"] = comment.as_str().into();
        }
        let strategy = match (&self.value, self.prefer) {
            (Some(value), _) => {
                body["value"] = serde_json::from_str(value).map_err(|error| {
                    Error::new(format!("--value: {error}")).hint("a text needs its quotes: --value '\"A title\"'")
                })?;
                "manual"
            }
            (None, Some(Side::External)) => "preferExternal",
            (None, Some(Side::Krate)) => "preferKrate",
            (None, None) if self.reviewed => "reviewedWrite",
            (None, None) => "ignore",
        };
        body["strategy"] = strategy.into();
        Ok(body)
    }
}

pub(super) fn resolve(args: &ResolveArgs, output: Output) -> Result<Answer, Failed> {
    let api = Api::new(&args.server)?.user(args.user.as_deref());
    let kind = Kind::ExternalSyncConflict;
    let namespace = api.namespace_of(kind, &args.conflict)?;
    let found = api.get(&[kind.as_str(), &namespace, &args.conflict], &[])?;
    let url = api.url(&["conflicts", &namespace, &args.conflict, "resolve"], &[]);
    let conflict = api.call(Method::POST, &url, Some(&args.body(&found)?))?;
    output.print(Format::Table, &conflict, |conflict| {
        let strategy = text(conflict, "/spec/resolution/strategy");
        format!("{}: {} of {}, put in force next", args.conflict, strategy, text(conflict, "/spec/fieldPath"))
    })?;
    Ok(Answer::Yes)
}

#[derive(Debug, clap::Args)]
pub(crate) struct AnswerArgs {
    #[command(flatten)]
    server: Server,
    /// The approval
    approval: String,
    /// Who answers
    #[arg(long = "as", value_name = "USER", required = true)]
    user: String,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(super) fn approve(args: &AnswerArgs, output: Output) -> Result<Answer, Failed> {
    answer(args, "approved", output)
}

pub(super) fn deny(args: &AnswerArgs, output: Output) -> Result<Answer, Failed> {
    answer(args, "denied", output)
}

fn answer(args: &AnswerArgs, verdict: &str, output: Output) -> Result<Answer, Failed> {
    let api = Api::new(&args.server)?.user(Some(&args.user));
    let kind = Kind::AgentApproval;
    let namespace = api.namespace_of(kind, &args.approval)?;
    let found = api.get(&[kind.as_str(), &namespace, &args.approval], &[])?;
    // The digest of what was looked at: if it changes meanwhile, the answer is refused (R59).
    let mut body = json!({"verdict": verdict, "digest": found.pointer("/spec/digest")});
    if let Some(reason) = &args.reason {
        body["reason"] = reason.as_str().into();
    }
    let url = api.url(&["approvals", &namespace, &args.approval, "decide"], &[]);
    let approval = api.call(Method::POST, &url, Some(&body))?;
    output.print(Format::Table, &approval, |approval| {
        format!("{}: {} ({})", args.approval, verdict, text(approval, "/status/phase"))
    })?;
    Ok(Answer::Yes)
}

#[derive(Debug, clap::Args)]
pub(crate) struct WithdrawArgs {
    #[command(flatten)]
    server: Server,
    /// The approval
    approval: String,
    /// Who takes their answer back
    #[arg(long = "as", value_name = "USER", required = true)]
    user: String,
    /// Why
    #[arg(long, value_name = "TEXT", required = true)]
    reason: String,
}

pub(super) fn withdraw(args: &WithdrawArgs, output: Output) -> Result<Answer, Failed> {
    let api = Api::new(&args.server)?.user(Some(&args.user));
    let namespace = api.namespace_of(Kind::AgentApproval, &args.approval)?;
    let url = api.url(&["approvals", &namespace, &args.approval, "withdraw"], &[]);
    let approval = api.call(Method::POST, &url, Some(&json!({"reason": args.reason})))?;
    output.print(Format::Table, &approval, |approval| {
        format!("{}: taken back ({})", args.approval, text(approval, "/status/phase"))
    })?;
    Ok(Answer::Yes)
}

#[derive(Debug, clap::Args)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    server: Server,
    /// The write: an ExternalWriteIntent
    intent: String,
    /// Why
    #[arg(long, value_name = "TEXT", required = true)]
    reason: String,
    /// For whom
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
}

pub(super) fn cancel(args: &CancelArgs, output: Output) -> Result<Answer, Failed> {
    let api = Api::new(&args.server)?.user(args.user.as_deref());
    let namespace = api.namespace_of(Kind::ExternalWriteIntent, &args.intent)?;
    let url = api.url(&["intents", &namespace, &args.intent, "cancel"], &[]);
    let intent = api.call(Method::POST, &url, Some(&json!({"reason": args.reason})))?;
    output.print(Format::Table, &intent, |_| format!("{}: cancelled, carried out next", args.intent))?;
    Ok(Answer::Yes)
}

#[derive(Debug, clap::Args)]
pub(crate) struct BackfillArgs {
    #[command(flatten)]
    server: Server,
    /// The binding
    binding: String,
    /// For whom
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
}

pub(super) fn backfill(args: &BackfillArgs, output: Output) -> Result<Answer, Failed> {
    let api = Api::new(&args.server)?.user(args.user.as_deref());
    let namespace = api.namespace_of(Kind::ExternalBackendBinding, &args.binding)?;
    let url = api.url(&["bindings", &namespace, &args.binding, "backfill"], &[]);
    let binding = api.call(Method::POST, &url, None)?;
    output.print(Format::Table, &binding, |_| format!("{}: its lists are read next", args.binding))?;
    Ok(Answer::Yes)
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum DeliveryCommand {
    /// Process a delivery that was given up anew
    Replay(DisposeArgs),
    /// Be done with a delivery that was given up
    Skip(DisposeArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct DisposeArgs {
    #[command(flatten)]
    server: Server,
    /// The delivery
    delivery: String,
    /// Why
    #[arg(long, value_name = "TEXT", required = true)]
    reason: String,
    /// For whom
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
}

pub(super) fn delivery(command: &DeliveryCommand, output: Output) -> Result<Answer, Failed> {
    let (args, act) = match command {
        DeliveryCommand::Replay(args) => (args, "replay"),
        DeliveryCommand::Skip(args) => (args, "skip"),
    };
    let api = Api::new(&args.server)?.user(args.user.as_deref());
    let namespace = api.namespace_of(Kind::ExternalWebhookDelivery, &args.delivery)?;
    let url = api.url(&["deliveries", &namespace, &args.delivery, "dispose"], &[]);
    let delivery = api.call(Method::POST, &url, Some(&json!({"act": act, "reason": args.reason})))?;
    output.print(Format::Table, &delivery, |_| format!("{}: {act}, carried out next", args.delivery))?;
    Ok(Answer::Yes)
}
