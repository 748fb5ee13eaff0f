//! `krate webhook replay`: signs and posts payload files, as GitHub would.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use futures::StreamExt;
use hmac::{Hmac, KeyInit, Mac};
use indicatif::{ProgressBar, ProgressStyle};
use krate_model::Digest;
use reqwest::Url;
use serde::Serialize;
use sha2::Sha256;

use crate::error::{Answer, Error};
use crate::input;
use crate::output::{Format, Output, table};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to post, such as http://127.0.0.1:8480/webhooks/github
    #[arg(long, value_name = "URL")]
    to: Url,
    /// Environment variable that holds the webhook secret
    #[arg(long, value_name = "VARIABLE")]
    secret_env: String,
    /// The event type; without it, the name of the folder that each file is in
    #[arg(long, value_name = "TYPE")]
    event: Option<String>,
    /// Requests at a time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// Payload files, or folders of them; *.golden.json is left out
    #[arg(required = true, value_name = "FILE|DIR")]
    payloads: Vec<PathBuf>,
}

/// One delivery to be made.
struct Delivery {
    file: PathBuf,
    event: String,
    id: String,
    body: Vec<u8>,
}

/// What came of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    file: String,
    event: String,
    delivery_id: String,
    /// Absent when there was no answer.
    status: Option<u16>,
    /// What the server said, where it took the delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    total: usize,
    accepted: usize,
    by_status: BTreeMap<String, usize>,
    deliveries: Vec<Answered>,
}

pub(crate) fn run(args: &Args, output: Output) -> Result<Answer, Error> {
    let secret = super::webhook::secret_bytes(&args.secret_env)?;
    let deliveries = deliveries(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(format!("the runtime: {error}")))?;
    let client = reqwest::Client::builder()
        .timeout(std::time::Duration::from_mins(1))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| Error::new(format!("the HTTP client: {error}")))?;
    let bar = progress(deliveries.len());
    let posts = deliveries.into_iter().map(|delivery| {
        let (client, bar, secret) = (&client, &bar, &secret);
        async move {
            let answered = post(client, &args.to, secret, delivery).await;
            bar.inc(1);
            answered
        }
    });
    // In the order of the files, however the answers come.
    let answers = futures::stream::iter(posts).buffered(args.concurrency.into()).collect::<Vec<_>>();
    let answers = runtime.block_on(answers);
    bar.finish_and_clear();
    let summary = Summary::of(answers);
    output.print(Format::Table, &summary, for_people)?;
    Ok(Answer::yes_if(summary.accepted == summary.total))
}

fn progress(length: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length as u64);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {eta}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn deliveries(args: &Args) -> Result<Vec<Delivery>, Error> {
    let mut files = Vec::new();
    for path in &args.payloads {
        let before = files.len();
        collect(path, &mut files)?;
        if files.len() == before {
            return Err(Error::new(format!("{}: holds no *.json file", path.display())));
        }
    }
    files.sort_unstable();
    files.dedup();
    files.into_iter().map(|file| delivery(args, file)).collect()
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    if !path.is_dir() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    let failed = |error: std::io::Error| Error::new(format!("{}: {error}", path.display()));
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let inner = entry.map_err(failed)?.path();
        let name = inner.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if inner.is_dir()
            || (inner.extension().is_some_and(|ending| ending == "json") && !name.ends_with(".golden.json"))
        {
            collect(&inner, files)?;
        }
    }
    Ok(())
}

fn delivery(args: &Args, file: PathBuf) -> Result<Delivery, Error> {
    let folder = file.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let event = args.event.clone().or(folder).ok_or_else(|| {
        Error::new(format!("{}: the event type isn't known", input::name(&file)))
            .hint("say it with --event, or put the file into a folder of that name")
    })?;
    let body = input::bytes(&file)?;
    let id = guid(&event, &file, &body);
    Ok(Delivery { file, event, id, body })
}

/// The same file again is the same delivery again. The folders above the event's don't count.
fn guid(event: &str, file: &Path, body: &[u8]) -> String {
    let mut text = format!("{event}/{}\n", file.file_name().unwrap_or_default().to_string_lossy()).into_bytes();
    text.extend_from_slice(body);
    let hex = Digest::of(&text).to_hex();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-8{}-a{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

fn signature(secret: &[u8], body: &[u8]) -> Result<String, String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| "the secret is no key".to_owned())?;
    mac.update(body);
    let bytes = mac.finalize().into_bytes();
    Ok(bytes.iter().fold(String::from("sha256="), |text, byte| format!("{text}{byte:02x}")))
}

async fn post(client: &reqwest::Client, to: &Url, secret: &[u8], delivery: Delivery) -> Answered {
    let Delivery { file, event, id, body } = delivery;
    let sent = async {
        let request = client
            .post(to.clone())
            .header("content-type", "application/json")
            .header("user-agent", "GitHub-Hookshot/krate-replay")
            .header("x-github-event", &event)
            .header("x-github-delivery", &id)
            .header("x-hub-signature-256", signature(secret, &body)?)
            .body(body);
        let answer = request.send().await.map_err(|error| what(&error))?;
        let status = answer.status();
        Ok::<_, String>((status, answer.bytes().await.unwrap_or_default()))
    };
    let mut answered = Answered {
        file: file.display().to_string(),
        event: event.clone(),
        delivery_id: id.clone(),
        status: None,
        delivery: None,
        error: None,
    };
    match sent.await {
        Ok((status, body)) => {
            let said: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            let text = |pointer: &str| said.pointer(pointer).and_then(serde_json::Value::as_str).map(str::to_owned);
            answered.status = Some(status.as_u16());
            answered.delivery = text("/delivery");
            answered.error = text("/error/message");
        }
        Err(error) => answered.error = Some(error),
    }
    answered
}

fn what(error: &reqwest::Error) -> String {
    let text = if error.is_connect() {
        "nobody answers there"
    } else if error.is_timeout() {
        "no answer in time"
    } else {
        "the connection broke"
    };
    text.to_owned()
}

impl Summary {
    fn of(deliveries: Vec<Answered>) -> Self {
        let mut by_status = BTreeMap::new();
        for answered in &deliveries {
            *by_status.entry(answered.key()).or_insert(0) += 1;
        }
        let accepted = deliveries.iter().filter(|answered| answered.is_accepted()).count();
        Self { total: deliveries.len(), accepted, by_status, deliveries }
    }
}

impl Answered {
    fn is_accepted(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    fn key(&self) -> String {
        self.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string())
    }
}

fn for_people(summary: &Summary) -> String {
    let row = |(status, count): (&String, &usize)| {
        let first = summary.deliveries.iter().find(|answered| answered.key() == *status && !answered.is_accepted());
        let example = first
            .map(|answered| format!("{}: {}", answered.file, answered.error.as_deref().unwrap_or("no reason given")));
        [status.clone(), count.to_string(), example.unwrap_or_default()]
    };
    let table = table(["Status", "Count", "First"], summary.by_status.iter().map(row));
    format!("{table}\n{} of {} accepted", summary.accepted, summary.total)
}
