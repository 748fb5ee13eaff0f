//! Classes of paths that a write-back has to name (P65): files that say what runs, who reviews, and what agents are told.

use crate::pattern::{Domain, Pattern};
use std::sync::LazyLock;

krate_model::closed_set! {
    /// What a path of a change is.
    EntryKind { File = "file", Executable = "executable", Symlink = "symlink", Submodule = "submodule" }
}

/// Each class with the patterns of its paths. They over-match (P66): a file system that folds case reads `.GitHub/Workflows` as the provider does not.
const CLASSES: &[(&str, &[&str])] = &[
    (
        "workflow-files",
        &[
            ".github/workflows/**",
            ".github/actions/**",
            "**/action.yml",
            "**/action.yaml",
            ".gitlab-ci.yml",
            ".gitlab/ci/**",
            ".circleci/**",
            ".buildkite/**",
            "azure-pipelines.yml",
            "Jenkinsfile",
            ".travis.yml",
            "bitbucket-pipelines.yml",
            ".gitea/workflows/**",
            ".forgejo/workflows/**",
            ".woodpecker.yml",
            ".woodpecker/**",
            ".drone.yml",
            "cloudbuild.yaml",
            ".azure-pipelines/**",
        ],
    ),
    (
        "codeowners",
        &[
            "CODEOWNERS",
            ".github/CODEOWNERS",
            ".gitlab/CODEOWNERS",
            "docs/CODEOWNERS",
            ".gitea/CODEOWNERS",
            "OWNERS",
            "**/OWNERS",
        ],
    ),
    (
        "agent-instructions",
        &[
            "**/AGENTS.md",
            "**/CLAUDE.md",
            "**/GEMINI.md",
            ".github/copilot-instructions.md",
            ".github/instructions/**",
            ".cursor/**",
            "**/.cursorrules",
            ".claude/**",
            ".codex/**",
            ".gemini/**",
            ".windsurf/**",
            "**/.windsurfrules",
            "**/.mcp.json",
            ".aider.conf.yml",
            ".company-brain/**",
        ],
    ),
    ("submodules", &["**/.gitmodules"]),
    (
        "lock-files",
        &[
            "**/Cargo.lock",
            "**/package-lock.json",
            "**/npm-shrinkwrap.json",
            "**/yarn.lock",
            "**/pnpm-lock.yaml",
            "**/bun.lock",
            "**/bun.lockb",
            "**/go.sum",
            "**/go.work.sum",
            "**/poetry.lock",
            "**/uv.lock",
            "**/Pipfile.lock",
            "**/Gemfile.lock",
            "**/composer.lock",
            "**/gradle.lockfile",
            "**/packages.lock.json",
            "**/flake.lock",
            "**/mix.lock",
            "**/pubspec.lock",
            "**/Podfile.lock",
            "**/.terraform.lock.hcl",
        ],
    ),
];

static PATTERNS: LazyLock<Vec<(&str, Vec<Pattern>)>> = LazyLock::new(|| {
    let read = |patterns: &[&str]| patterns.iter().filter_map(|it| Pattern::parse(it, Domain::Path).ok()).collect();
    CLASSES.iter().map(|(class, patterns)| (*class, read(patterns))).collect()
});

/// The classes that a path of a change is of; none for most.
pub fn classes(path: &str, entry: &EntryKind) -> Vec<&'static str> {
    let mut found: Vec<&str> = PATTERNS
        .iter()
        .filter(|(_, patterns)| patterns.iter().any(|pattern| pattern.over_matches(path)))
        .map(|(class, _)| *class)
        .collect();
    match entry {
        EntryKind::File => {}
        EntryKind::Executable => found.push("executable-modes"),
        EntryKind::Symlink => found.push("symlinks"),
        // What isn't known may be any of them; a submodule is the nearest.
        EntryKind::Submodule | EntryKind::Unknown(_) => found.push("submodules"),
    }
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p65_every_pattern_of_a_class_is_one() {
        for (class, patterns) in CLASSES {
            for pattern in *patterns {
                assert!(Pattern::parse(pattern, Domain::Path).is_ok(), "{class}: {pattern}");
            }
        }
    }

    #[test]
    fn p65_a_path_is_of_its_class_in_any_case() {
        let of = |path: &str| classes(path, &EntryKind::File);
        assert_eq!(of(".github/workflows/ci.yml"), ["workflow-files"]);
        assert_eq!(of(".GitHub/Workflows/ci.yml"), ["workflow-files"], "P66");
        assert_eq!(of("deep/down/AGENTS.md"), ["agent-instructions"]);
        assert_eq!(of("AGENTS.md"), ["agent-instructions"]);
        assert_eq!(of("sub/Cargo.lock"), ["lock-files"]);
        assert_eq!(of("codeowners"), ["codeowners"], "P66");
        assert_eq!(of("src/lib.rs"), [""; 0]);
        assert_eq!(classes("src", &EntryKind::Symlink), ["symlinks"]);
        assert_eq!(classes(".gitmodules", &EntryKind::Submodule), ["submodules"]);
        assert_eq!(classes("run.sh", &EntryKind::Executable), ["executable-modes"]);
    }
}
