//! The commands that ask a server: they go over the JSON API of `krate serve`.

mod column;
mod decide;
mod edit;
mod read;

use clap::Subcommand;
use http::Method;
use krate_model::Kind;
use reqwest::{StatusCode, Url};
use serde_json::Value;

use crate::error::{Answer, Error};
use crate::output::{Output, note};
use crate::serve::config::DEFAULT_LISTEN;

/// Where the server is, and in which namespace to look.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Server {
    /// Address of the server (http://127.0.0.1:8480); a token for it is read from the variable KRATE_TOKEN
    #[arg(long, env = "KRATE_SERVER", value_name = "URL")]
    server: Option<Url>,
    /// The namespace; where it isn't given, the namespaces of the bindings are searched
    #[arg(short, long, env = "KRATE_NAMESPACE", value_name = "NAMESPACE")]
    namespace: Option<String>,
}

/// How long a command waits for its answer: comparing a large repository asks the provider for many pages.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(10);

/// The commands; each stands at the top of the command line.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the objects of a kind, or show one
    Get(read::GetArgs),
    /// Show an object with what it waits for and what happened to it
    Describe(read::OneArgs),
    /// Change fields of an object
    Edit(edit::Args),
    /// Delete an object here and at its provider, or close it where the provider deletes no such object; or a binding
    Delete(edit::DeleteArgs),
    /// Compare an object with what both sides agreed on last, field by field
    Diff(read::OneArgs),
    /// Say why an object is as it is
    Why(read::OneArgs),
    /// Compare what stands here with what the provider has, and change nothing
    Verify(read::BindingArgs),
    /// Say what is left of the providers' budgets, what reading the lists costs, and when it is done
    Forecast(read::BindingArgs),
    /// Decide a conflict
    Resolve(decide::ResolveArgs),
    /// Let a write that waits for approval go out
    Approve(decide::AnswerArgs),
    /// Refuse a write that waits for approval
    Deny(decide::AnswerArgs),
    /// Take your answer to an approval back, until the write was sent: it is asked about anew
    Withdraw(decide::WithdrawArgs),
    /// Take a write back that wasn't sent yet: its fields are then as they were before
    Cancel(decide::CancelArgs),
    /// Read a binding's lists whole now, instead of when their time comes
    Backfill(decide::BackfillArgs),
    /// Say what becomes of a webhook delivery that was given up (DeadLettered)
    #[command(subcommand)]
    Delivery(decide::DeliveryCommand),
}

pub(crate) fn run(command: Command, output: Output) -> Result<Answer, Error> {
    let answered = match command {
        Command::Get(args) => read::get(&args, output),
        Command::Describe(args) => read::describe(&args, output),
        Command::Edit(args) => edit::run(&args, output),
        Command::Delete(args) => edit::delete(&args, output),
        Command::Diff(args) => read::diff(&args, output),
        Command::Why(args) => read::why(&args, output),
        Command::Verify(args) => read::verify(&args, output),
        Command::Forecast(args) => read::forecast(&args, output),
        Command::Resolve(args) => decide::resolve(&args, output),
        Command::Approve(args) => decide::approve(&args, output),
        Command::Deny(args) => decide::deny(&args, output),
        Command::Withdraw(args) => decide::withdraw(&args, output),
        Command::Cancel(args) => decide::cancel(&args, output),
        Command::Backfill(args) => decide::backfill(&args, output),
        Command::Delivery(command) => decide::delivery(&command, output),
    };
    match answered {
        Ok(answer) => Ok(answer),
        Err(Failed::Refused(message)) => {
            note(&message);
            Ok(Answer::No)
        }
        Err(Failed::Broken(error)) => Err(error),
    }
}

/// Why there is no answer.
enum Failed {
    /// The server says no.
    Refused(String),
    /// The call is wrong, or the server can't be asked.
    Broken(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

/// The API of a server.
struct Api {
    base: Url,
    namespace: Option<String>,
    token: Option<String>,
    user: Option<String>,
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Api {
    fn new(server: &Server) -> Result<Self, Error> {
        let base = match &server.server {
            Some(url) => url.clone(),
            None => Url::parse(&format!("http://{DEFAULT_LISTEN}")).map_err(Error::new)?,
        };
        if base.cannot_be_a_base() {
            return Err(Error::new(format!("--server: {base} is no address such as http://127.0.0.1:8480")));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::new(format!("the runtime: {error}")))?;
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Error::new(format!("the HTTP client: {error}")))?;
        let token = std::env::var("KRATE_TOKEN").ok().filter(|token| !token.is_empty());
        Ok(Self { base, namespace: server.namespace.clone(), token, user: None, http, runtime })
    }

    /// For whom to ask.
    fn user(mut self, user: Option<&str>) -> Self {
        self.user = user.map(str::to_owned);
        self
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Failed> {
        self.call(Method::GET, &self.url(path, query), None)
    }

    fn call(&self, method: Method, url: &Url, body: Option<&Value>) -> Result<Value, Failed> {
        let mut request = self.http.request(method, url.clone());
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(user) = &self.user {
            request = request.header("krate-user", user);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = self.runtime.block_on(async {
            let answer = request.send().await?;
            let status = answer.status();
            Ok::<_, reqwest::Error>((status, answer.bytes().await?))
        });
        let (status, body) = answer.map_err(|error| self.unreachable(&error))?;
        let value: Value = serde_json::from_slice(&body).map_err(|_| {
            Error::new(format!("{}: the answer ({status}) is no JSON", self.base)).hint("is this krate's server?")
        })?;
        if status.is_success() { Ok(value) } else { Err(refused(status, &value)) }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
        let what = if error.is_connect() {
            "nobody answers there"
        } else if error.is_timeout() {
            "no answer in time"
        } else {
            "the request failed"
        };
        Error::new(format!("{}: {what}", self.base))
            .hint("start it with `krate serve --config krate.yaml`, or name another with --server or KRATE_SERVER")
    }

    /// The namespace of an object: the one that was asked for, or the first of the bindings' that has it.
    fn namespace_of(&self, kind: Kind, name: &str) -> Result<String, Failed> {
        if let Some(namespace) = &self.namespace {
            return Ok(namespace.clone());
        }
        let mut found = Vec::new();
        for namespace in self.namespaces()? {
            match self.get(&[kind.as_str(), &namespace, name], &[]) {
                Ok(_) => found.push(namespace),
                Err(Failed::Refused(_)) => {}
                Err(broken) => return Err(broken),
            }
        }
        match found.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(Failed::Refused(format!("no: {kind} {name} isn't there"))),
            several => Err(Error::new(format!("{kind} {name} is in several namespaces: {}", several.join(", ")))
                .hint("say which with --namespace")
                .into()),
        }
    }

    fn namespaces(&self) -> Result<Vec<String>, Failed> {
        let mut all = Vec::new();
        for kind in [Kind::ExternalBackendBinding, Kind::ExternalBackendProvider, Kind::Organization] {
            for object in self.all(kind, &[], usize::MAX)?.0 {
                all.push(text(&object, "/metadata/namespace"));
            }
        }
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    /// The objects of a list, page by page, at most `limit`; and whether there are more.
    fn all(&self, kind: Kind, filter: &[(&str, &str)], limit: usize) -> Result<(Vec<Value>, bool), Failed> {
        let mut all = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let page_size = limit.saturating_sub(all.len()).min(500).to_string();
            let mut query = filter.to_vec();
            query.push(("limit", &page_size));
            if let Some(next) = &next {
                query.push(("continue", next));
            }
            let mut page = self.get(&[kind.as_str()], &query)?;
            if let Some(items) = page.get_mut("items").and_then(Value::as_array_mut) {
                all.append(items);
            }
            next = page.pointer("/metadata/continue").and_then(Value::as_str).map(str::to_owned);
            if next.is_none() || all.len() >= limit {
                return Ok((all, next.is_some()));
            }
        }
    }
}

/// What the server said in place of an answer.
fn refused(status: StatusCode, value: &Value) -> Failed {
    let message = value.pointer("/error/message").and_then(Value::as_str).unwrap_or("no reason was given");
    let hint = value.pointer("/error/hint").and_then(Value::as_str);
    if matches!(status.as_u16(), 403 | 404 | 409 | 422) && value.pointer("/error/code") != Some(&"UnknownKind".into()) {
        let mut text = format!("no: {message}");
        for failure in value.pointer("/error/failures").and_then(Value::as_array).into_iter().flatten().skip(1) {
            text.push_str(&format!("\n    {}: {}", self::text(failure, "/path"), self::text(failure, "/message")));
        }
        return Failed::Refused(hint.map_or(text.clone(), |hint| format!("{text}\n hint: {hint}")));
    }
    let error = Error::new(format!("the server answers {status}: {message}"));
    Failed::Broken(match hint {
        Some(hint) => error.hint(hint),
        None => error,
    })
}

/// A text in an answer; empty when it isn't there.
fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
