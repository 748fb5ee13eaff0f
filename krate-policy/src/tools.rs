//! A tool profile, read once when it comes into a snapshot: which tools, commands and hosts it lets an agent use (P17, P18, P26, P59).

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::sync::Arc;

use krate_model::Kind;
use krate_model::kinds::tools::{
    AgentToolProfile, AgentToolProfilePhase, FilesystemPolicy, NativeTools, NetworkDefault, ToolApproval,
};

use crate::command::{Argv, Command};
use crate::decision::Version;
use crate::grant::version;
use crate::host::{self, Destination, HostPattern};

/// What is said of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// Yes.
    Allowed,
    /// Once a person agrees.
    Ask,
    /// No, with what is in the way.
    Denied(&'static str),
}

/// A profile as it is judged. An entry that can't be read allows nothing, and one that denies then denies all (P11).
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    pub(crate) version: Arc<Version>,
    is_ready: bool,
    native: NativeTools,
    files: FilesystemPolicy,
    is_open: bool,
    hosts: Vec<HostPattern>,
    allowed: Vec<Command>,
    denied: Vec<Command>,
    denies_every_command: bool,
    by_tool: BTreeMap<Box<str>, ToolApproval>,
}

impl Tools {
    pub(crate) fn of(profile: &AgentToolProfile) -> Self {
        let spec = &profile.spec;
        let commands = |entries: &[String]| entries.iter().map(|entry| Command::parse(entry).ok()).collect::<Vec<_>>();
        let denied = commands(&spec.denied_commands);
        Self {
            version: version(Kind::AgentToolProfile, &profile.metadata),
            is_ready: profile.status.as_ref().is_some_and(|status| status.phase == AgentToolProfilePhase::Ready),
            native: spec.native_tools.clone(),
            files: spec.filesystem_policy.clone(),
            is_open: spec.network_policy.default == NetworkDefault::Allow,
            hosts: spec.network_policy.allow_hosts.iter().filter_map(|host| HostPattern::parse(host).ok()).collect(),
            allowed: commands(&spec.allowed_commands).into_iter().flatten().collect(),
            denies_every_command: denied.contains(&None),
            denied: denied.into_iter().flatten().collect(),
            by_tool: spec
                .approval_policy_by_tool
                .iter()
                .map(|(tool, way)| (tool.as_str().into(), way.clone()))
                .collect(),
        }
    }

    /// Tools that may be called, with or without a person.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_tool.keys().map(|name| &**name).filter(|name| !matches!(self.tool(name), Verdict::Denied(_)))
    }

    /// What it says of a tool by its name: of the agent's own, or of an MCP server's as `server/tool`.
    pub(crate) fn tool(&self, name: &str) -> Verdict {
        if !self.is_ready {
            return Verdict::Denied("the tool profile isn't Ready");
        }
        if self.native(name) == Some(false) {
            return Verdict::Denied("the tool profile doesn't turn it on");
        }
        match self.by_tool.get(name) {
            None => Verdict::Denied("the tool profile doesn't name it"),
            Some(ToolApproval::Allow | ToolApproval::PromptOnDeniedOrPrivileged) => Verdict::Allowed,
            Some(ToolApproval::AllowWorkspace) if self.files == FilesystemPolicy::WorkspaceWrite => Verdict::Allowed,
            Some(ToolApproval::AllowWorkspace) => {
                Verdict::Denied("the tool profile lets nothing write to the workspace")
            }
            Some(ToolApproval::Prompt) => Verdict::Ask,
            Some(_) => Verdict::Denied("the tool profile denies it"),
        }
    }

    /// What it says of a tool of an MCP server. Where it doesn't name one, the server's own policy stands.
    pub(crate) fn tool_of_server(&self, name: &str) -> Verdict {
        if self.by_tool.contains_key(name) { self.tool(name) } else { Verdict::Allowed }
    }

    /// What it says of a command, run by that tool: what is denied first, then what is listed; a shell needs the right to one (P59).
    pub(crate) fn command(&self, tool: &str, argv: &Argv) -> Verdict {
        let verdict = self.tool(tool);
        if matches!(verdict, Verdict::Denied(_)) {
            return verdict;
        }
        if self.denies_every_command || self.denied.iter().any(|entry| entry.catches(argv)) {
            return Verdict::Denied("the tool profile denies the command");
        }
        if !self.allowed.iter().any(|entry| entry.matches(argv)) {
            return Verdict::Denied("the tool profile doesn't list the command");
        }
        if !argv.is_shell() {
            return verdict;
        }
        if !self.native.shell {
            return Verdict::Denied("it runs anything, so it needs nativeTools.shell (P59)");
        }
        let asks = self.by_tool.get(tool) == Some(&ToolApproval::PromptOnDeniedOrPrivileged);
        if asks { Verdict::Ask } else { verdict }
    }

    /// Whether bytes may go there; `resolved` is the address that the name stands for (P17, P60).
    pub(crate) fn host(&self, to: &Destination, resolved: Option<IpAddr>) -> bool {
        let listed = host::allows(&self.hosts, to);
        let open = self.is_open && to.ip().is_none_or(|address| !host::is_inner(address)) && !to.is_local_name();
        let address = resolved.is_none_or(|address| host::allows_resolved(&self.hosts, address, to.port()));
        self.is_ready && (listed || open) && address
    }

    /// What may be done with files.
    pub(crate) fn files(&self) -> &FilesystemPolicy {
        if self.is_ready { &self.files } else { &FilesystemPolicy::None }
    }

    /// Whether it lets commands be run whose arguments confine nothing (P59).
    pub(crate) fn runs_anything(&self) -> bool {
        self.native.shell && !matches!(self.tool("shell"), Verdict::Denied(_))
    }

    /// Whether bytes may go anywhere.
    pub(crate) const fn reaches_out(&self) -> bool {
        self.is_open || !self.hosts.is_empty()
    }

    /// Whether a tool of the agent's own is on; `None` for any other.
    fn native(&self, name: &str) -> Option<bool> {
        Some(match name {
            "shell" => self.native.shell,
            "filesystem" => self.native.filesystem,
            "browser" => self.native.browser,
            "codeSearch" => self.native.code_search,
            "git" => self.native.git,
            "testRunner" => self.native.test_runner,
            "packageManager" => self.native.package_manager,
            _ => return None,
        })
    }
}
