//! What may be run: entries over argument vectors, never over shell lines (permission-review.md P18, P59).
//!
//! ```
//! use krate_policy::command::{Argv, Command};
//!
//! let force = Command::parse("git push --force")?;
//! let argv = Argv::from_line("git -c x=y push -f")?;
//! assert!(force.catches(&argv), "however it is spelled");
//! assert!(Argv::from_line("git status && curl evil").is_err(), "a shell line is no command");
//! # Ok::<(), krate_policy::command::CommandError>(())
//! ```

use thiserror::Error;

/// Most words of a command, and of an entry.
pub const MAX_WORDS: usize = 256;

/// Why something is no command; the text follows on "the command".
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CommandError {
    /// No word at all.
    #[error("is empty")]
    Empty,
    /// What only a shell understands: it would be run as other words than those that were judged.
    #[error("has `{0}`, which a shell would take for its own; hand over the argument vector")]
    Shell(char),
    /// More than [`MAX_WORDS`].
    #[error("has more than {MAX_WORDS} words")]
    TooManyWords,
    /// A program with a folder: which file it is depends on where it is run.
    #[error("names its program by a path; name the program alone")]
    ProgramPath,
}

/// Programs that run what their arguments say, so that no argument confines them (P59).
const INTERPRETERS: &[&str] = &[
    "ash",
    "awk",
    "bash",
    "bun",
    "bunx",
    "busybox",
    "cargo",
    "cmd",
    "csh",
    "dash",
    "deno",
    "doas",
    "docker",
    "env",
    "expect",
    "find",
    "fish",
    "gawk",
    "gdb",
    "go",
    "ksh",
    "lua",
    "make",
    "node",
    "npm",
    "npx",
    "parallel",
    "perl",
    "php",
    "pip",
    "pipx",
    "pnpm",
    "powershell",
    "pwsh",
    "python",
    "python3",
    "ruby",
    "sed",
    "sh",
    "ssh",
    "strace",
    "sudo",
    "tclsh",
    "time",
    "timeout",
    "uv",
    "uvx",
    "vi",
    "vim",
    "watch",
    "xargs",
    "yarn",
    "zsh",
];

/// Options of otherwise tame programs that run a program of the caller's choice.
const RUNNING_OPTIONS: &[(&str, &[&str])] = &[
    (
        "git",
        &[
            "-c",
            "--config-env",
            "--exec-path",
            "--upload-pack",
            "--receive-pack",
            "-u",
            "--ext-diff",
            "--open-files-in-pager",
        ],
    ),
    ("tar", &["--to-command", "--use-compress-program", "-I", "--checkpoint-action"]),
    ("rsync", &["-e", "--rsh"]),
];

/// Spellings of one option: (program, subcommand, option, others that mean it).
const ALIASES: &[(&str, &str, &str, &[&str])] = &[
    ("git", "push", "--force", &["-f", "--force-with-lease", "--mirror"]),
    ("git", "push", "--delete", &["-d", "--prune"]),
    ("git", "commit", "--no-verify", &["-n"]),
    ("git", "push", "--no-verify", &[]),
    ("git", "clean", "--force", &["-f"]),
    ("git", "branch", "--delete", &["-d", "-D"]),
    ("rm", "", "--recursive", &["-r", "-R"]),
    ("rm", "", "--force", &["-f"]),
];

/// A command as it is run: the program and its arguments, each one word whatever it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argv(Box<[String]>);

impl Argv {
    /// Takes an argument vector.
    ///
    /// # Errors
    /// [`CommandError`] when it has no program, names it by a path, or is too long. `./git` is not `git`: it is whatever file lies there.
    pub fn new(words: Vec<String>) -> Result<Self, CommandError> {
        let Some(program) = words.first().filter(|program| !program.is_empty()) else {
            return Err(CommandError::Empty);
        };
        if program.contains(['/', '\\']) {
            return Err(CommandError::ProgramPath);
        }
        if words.len() > MAX_WORDS {
            return Err(CommandError::TooManyWords);
        }
        Ok(Self(words.into()))
    }

    /// Cuts a line at its blanks, where no shell would do more than that.
    ///
    /// # Errors
    /// [`CommandError::Shell`] with the first character that means something to a shell, quotes among them; and as [`Self::new`].
    pub fn from_line(line: &str) -> Result<Self, CommandError> {
        let special = |char: char| {
            matches!(
                char,
                '|' | '&'
                    | ';'
                    | '<'
                    | '>'
                    | '('
                    | ')'
                    | '$'
                    | '`'
                    | '\\'
                    | '"'
                    | '\''
                    | '*'
                    | '?'
                    | '['
                    | ']'
                    | '#'
                    | '~'
                    | '!'
            ) || matches!(char, '{' | '}' | '%' | '^')
                || (char.is_control() && char != '\t')
        };
        if let Some(char) = line.chars().find(|char| special(*char)) {
            return Err(CommandError::Shell(char));
        }
        Self::new(line.split_whitespace().map(str::to_owned).collect())
    }

    /// The program.
    pub fn program(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    fn arguments(&self) -> &[String] {
        self.0.get(1..).unwrap_or_default()
    }

    /// Whether it can run anything at all, so that it needs the right to a shell (P59).
    pub fn is_shell(&self) -> bool {
        let program = stem(self.program());
        if INTERPRETERS.binary_search(&program.as_str()).is_ok() {
            return true;
        }
        let options = RUNNING_OPTIONS.iter().filter(|(of, _)| *of == program).flat_map(|(_, options)| *options);
        options.into_iter().any(|option| self.arguments().iter().any(|argument| is_option(argument, option, true)))
    }
}

/// The program without version and ending: `python3.12` is `python`, `bash.exe` is `bash`.
fn stem(program: &str) -> String {
    let lower = program.to_ascii_lowercase();
    let bare = lower.strip_suffix(".exe").unwrap_or(&lower);
    let unversioned = bare.trim_end_matches(|char: char| char.is_ascii_digit() || matches!(char, '.' | '-'));
    if unversioned.is_empty() { bare.to_owned() } else { unversioned.to_owned() }
}

/// An entry of a command list: a program, and words that must occur in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command(Argv);

impl Command {
    /// Reads an entry such as `git push --force`.
    ///
    /// # Errors
    /// As [`Argv::from_line`].
    pub fn parse(entry: &str) -> Result<Self, CommandError> {
        Argv::from_line(entry).map(Self)
    }

    /// Whether an allow list's entry means `argv`: the same program, and the entry's words in order, options as they are written or by a
    /// known alias.
    pub fn matches(&self, argv: &Argv) -> bool {
        self.0.program() == argv.program() && self.in_order(argv, false)
    }

    /// Whether a deny list's entry catches `argv`: all that [`Self::matches`] takes, and spellings that the program may understand too:
    /// another case of the program, options bundled (`-uf`), shortened (`--forc`) or with a value.
    pub fn catches(&self, argv: &Argv) -> bool {
        stem(self.0.program()) == stem(argv.program()) && self.in_order(argv, true)
    }

    fn in_order(&self, argv: &Argv, widely: bool) -> bool {
        let subcommand = self.0.arguments().first().map_or("", String::as_str);
        let mut left = argv.arguments().iter();
        self.0.arguments().iter().all(|wanted| left.any(|word| self.means(subcommand, wanted, word, widely)))
    }

    /// Whether `word` says what the entry's `wanted` says.
    fn means(&self, subcommand: &str, wanted: &str, word: &str, widely: bool) -> bool {
        if wanted == word || (wanted.starts_with('-') && is_option(word, wanted, widely)) {
            return true;
        }
        // A forced push of one ref is spelled in the ref.
        let is_push = self.0.program() == "git" && subcommand == "push";
        if is_push && is_force(wanted) && word.starts_with('+') {
            return true;
        }
        // Deleting one ref by pushing nothing to it.
        if is_push && matches!(wanted, "--delete" | "-d") && word.starts_with(':') {
            return true;
        }
        ALIASES.iter().any(|(program, of, option, others)| {
            let spellings = || others.iter().chain([option]);
            *program == self.0.program()
                && (of.is_empty() || *of == subcommand)
                && spellings().any(|known| *known == wanted)
                && spellings().any(|known| is_option(word, known, widely))
        })
    }
}

fn is_force(option: &str) -> bool {
    matches!(option, "--force" | "-f" | "--force-with-lease")
}

/// Whether `word` is `option`; widely also with a value, shortened, or bundled with other letters.
fn is_option(word: &str, option: &str, widely: bool) -> bool {
    if word == option {
        return true;
    }
    if !widely {
        return false;
    }
    if let Some(long) = option.strip_prefix("--") {
        let Some(given) = word.strip_prefix("--") else { return false };
        let name = given.split('=').next().unwrap_or_default();
        return name.len() >= 3 && long.starts_with(name);
    }
    match (option.strip_prefix('-'), word.strip_prefix('-')) {
        (Some(letter), Some(bundle)) if !letter.is_empty() && !bundle.starts_with('-') => bundle.contains(letter),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(text: &str) -> Command {
        Command::parse(text).unwrap()
    }

    fn argv(line: &str) -> Argv {
        Argv::from_line(line).unwrap()
    }

    #[test]
    fn interpreters_are_sorted_for_the_search() {
        assert!(INTERPRETERS.is_sorted());
    }

    #[test]
    fn p18_a_denied_option_is_caught_however_it_is_spelled() {
        let force = entry("git push --force");
        for caught in [
            "git push --force",
            "git -c x=y push -f",
            "git push origin +a:b",
            "git push -uf origin a",
            "git push --forc",
            "git push --force-with-lease=a",
            "git push --mirror",
            "Git push -f",
            "git.exe push -f",
        ] {
            assert!(force.catches(&argv(caught)), "{caught}");
        }
        for free in ["git push origin a:b", "git fetch -f", "git pull", "gitk push -f", "git --force push"] {
            assert!(!force.catches(&argv(free)), "{free}");
        }
        assert!(entry("git push --delete").catches(&argv("git push origin :a")));
        assert!(entry("rm -r").catches(&argv("rm -fR a")));
    }

    #[test]
    fn p18_an_allowed_program_is_the_one_at_the_tool_path() {
        let git = entry("git");
        assert!(git.matches(&argv("git status")));
        for other in ["gitx status", "Git status", "git.exe status"] {
            assert!(!git.matches(&argv(other)), "{other}");
        }
        for path in ["./git", "/tmp/git", "bin/git", ".\\git"] {
            assert!(Argv::new(vec![path.to_owned()]).is_err(), "{path}");
        }
        assert!(entry("git log --oneline").matches(&argv("git log -3 --oneline")));
        assert!(!entry("git log --oneline").matches(&argv("git --oneline log")), "the order counts");
        assert!(!entry("git log --oneline").matches(&argv("git log --onel")), "an allow list takes no abbreviation");
    }

    #[test]
    fn p18_what_a_shell_would_read_is_no_command() {
        for (line, char) in [
            ("git status && curl evil", '&'),
            ("git status; ls", ';'),
            ("git log | sh", '|'),
            ("git show $(id)", '$'),
            ("git show `id`", '`'),
            ("git status\nls", '\n'),
            ("cat ~/.ssh/id", '~'),
            ("git log > x", '>'),
        ] {
            assert_eq!(Argv::from_line(line), Err(CommandError::Shell(char)), "{line:?}");
        }
        assert_eq!(Argv::from_line("  "), Err(CommandError::Empty));
        assert_eq!(Argv::new(vec!["a".to_owned(); 257]), Err(CommandError::TooManyWords));
        // As a vector each word is one word, whatever it holds.
        let words = ["git", "commit", "-m", "fix; and more"].map(str::to_owned).to_vec();
        assert!(entry("git commit").matches(&Argv::new(words).unwrap()));
    }

    #[test]
    fn p59_an_interpreter_is_a_shell() {
        for shell in [
            "sh -c id",
            "python3.12 x.py",
            "npx a",
            "env git",
            "bash.exe",
            "git -c core.pager=x log",
            "find . -name a",
            "node-22 x",
        ] {
            assert!(argv(shell).is_shell(), "{shell}");
        }
        for tame in ["git status", "ls -l", "cat a"] {
            assert!(!argv(tame).is_shell(), "{tame}");
        }
    }

    proptest! {
        #[test]
        fn p66_a_deny_entry_catches_all_that_an_allow_entry_takes(
            entry in "(git|rm)( push| log| -f| --force| a){0,3}",
            line in "(git|rm)( push| log| -f| --force| a| \\+b){0,6}",
        ) {
            let (entry, argv) = (Command::parse(&entry).unwrap(), Argv::from_line(&line).unwrap());
            prop_assert!(!entry.matches(&argv) || entry.catches(&argv));
        }

        #[test]
        fn p18_any_line_is_read_or_refused(line in "\\PC{0,40}|[a-z ./-]{0,40}") {
            if let Ok(argv) = Argv::from_line(&line) {
                argv.is_shell();
                prop_assert!(!argv.program().contains('/'));
            }
        }
    }
}
