//! What can be said on the command line.

use clap::{Parser, Subcommand};

use crate::commands::{
    completions, crds, explain, intent, merge, online, policy, provider, rbac, review, simulate, validate, webhook,
};
use crate::demo;
use crate::output::Format;
use crate::serve;

/// Keeps forge objects in step between a forge and your own store.
#[derive(Debug, Parser)]
#[command(
    name = "krate",
    version,
    arg_required_else_help = true,
    after_help = "Ends with 0 when all is well, 1 when the answer is no (invalid, refused, in conflict), 2 when the input or the call is wrong.\n\
                  Where a file is asked for, - is standard input."
)]
pub(crate) struct Cli {
    /// How to print the answer; without it each command prints what reads best
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT")]
    pub(crate) output: Option<Format>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What krate can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the main job from end to end, on a simulated forge
    Demo(demo::Args),
    /// Run the webhook endpoint, the API and the worker
    Serve(serve::Args),
    #[command(flatten)]
    Online(online::Command),
    /// Check, read and replay webhooks
    #[command(subcommand)]
    Webhook(webhook::Command),
    /// Merge two sides' changes, field by field
    Merge(merge::Args),
    /// Work with write intents
    #[command(subcommand)]
    Intent(intent::Command),
    /// Check manifests against the rules of their kinds
    Validate(validate::Args),
    /// Ask a folder of policy resources whether a request is allowed, without a server
    Review(review::Args),
    /// Ask a folder of policy resources who may do something, what somebody may do, or what would change without a resource
    WhoCan(policy::WhoCan),
    /// Test and lint a folder of policy resources
    #[command(subcommand)]
    Policy(policy::Command),
    /// Play histories in which everything fails that can fail, and check that no edit is lost, doubled or hidden
    Simulate(simulate::Args),
    /// Print the CustomResourceDefinitions
    Crds(crds::Args),
    /// Print the roles as Kubernetes has them, as YAML for kubectl
    Rbac(rbac::Args),
    /// Explain a kind, a field or a rule
    Explain(explain::Args),
    /// Show the providers that this build knows
    #[command(subcommand)]
    Provider(provider::Command),
    /// Print a script that completes krate's commands in a shell
    Completions(completions::Args),
}
