//! Durable deliveries a second over HTTP: a real `krate serve` with the embedded store, many senders at once, and how many deliveries share a sync.
//! Beside it, what one sync of the same medium costs in the same run.
//!
//! The binary is built first, unless `KRATE_BINARY` names one. The senders run on the same cores as the server, so the rate is a lower bound.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use krate_benches::compare::{is_measured, median, shown};
use krate_benches::payload;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Failure = Box<dyn Error + Send + Sync>;

/// Senders at once; the server's own limit is 256.
const SENDERS: [u64; 4] = [1, 16, 64, 200];
/// How long each load lasts.
const LOAD: Duration = Duration::from_secs(5);
/// Syncs that are measured for the floor.
const SYNCS: usize = 100;

const CONFIG: &str = "
listen: 127.0.0.1:0
store: {path: krate.redb}
secrets:
  gh: {token: {env: BENCH_TOKEN}, webhook: {env: BENCH_WEBHOOK_SECRET}}
objects:
  - {apiVersion: krate.a5c.ai/v1alpha1, kind: Organization, metadata: {name: acme, namespace: krate-system},
     spec: {displayName: Acme, slug: acme, namespaceName: krate-org-acme}}
  - apiVersion: krate.a5c.ai/v1alpha1
    kind: ExternalBackendProvider
    metadata: {name: gh, namespace: krate-org-acme}
    spec:
      organizationRef: acme
      providerType: github
      displayName: GitHub
      apiBaseUrl: https://api.github.com
      authRef: {mode: personal-access-token, secretRef: {name: gh}}
      webhook: {secretRefs: [{name: first, secretRef: {name: gh, key: webhook}}]}
      capabilities: {issueTracking: true, gitForge: true}
";

/// Builds the binary and says where it is: beside the folder that the benches are built into.
fn binary() -> Result<PathBuf, Failure> {
    if let Some(built) = std::env::var_os("KRATE_BINARY") {
        return Ok(std::fs::canonicalize(built)?);
    }
    let built = Command::new(env!("CARGO")).args(["build", "--release", "-p", "krate-local"]).status()?;
    if !built.success() {
        return Err("the binary could not be built".into());
    }
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(Path::parent).ok_or("the bench has no folder")?;
    Ok(folder.join("krate"))
}

/// A server that ends with this value.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(binary: &Path, folder: &Path) -> Result<Self, Failure> {
        std::fs::write(folder.join("krate.yaml"), CONFIG)?;
        let mut child = Command::new(binary)
            .args(["serve", "--config", "krate.yaml"])
            .current_dir(folder)
            .env("BENCH_TOKEN", "never sent: nothing is bound")
            .env("BENCH_WEBHOOK_SECRET", std::str::from_utf8(payload::SECRET)?)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.split_once("http://").and_then(|(_, address)| address.trim().parse().ok()))
            .ok_or("the server didn't say where it listens")?;
        Ok(Self { child, address })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One connection to the server.
struct Sender {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Sender {
    async fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::new() })
    }

    /// Sends a request and reads the answer: its status and body.
    async fn ask(&mut self, request: &[u8]) -> Result<(u16, String), Failure> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        loop {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err("the server hung up".into());
            }
            let text = std::str::from_utf8(&self.answer)?;
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .ok_or("the answer has no length")?;
            if body.len() >= length.1.parse::<usize>()? {
                let status = head.split(' ').nth(1).ok_or("the answer has no status")?.parse()?;
                return Ok((status, body.to_owned()));
            }
        }
    }
}

/// The delivery of this number: the same payload, another id.
fn delivery(number: u64, body: &[u8], signature: &str) -> Vec<u8> {
    let mut head = String::from("POST /webhooks/gh HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n");
    let _ = write!(head, "x-github-event: pull_request\r\nx-github-delivery: bench-{number}\r\n");
    let _ = write!(head, "x-hub-signature-256: {signature}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// What the store has done so far: syncs and batches.
async fn store_did(address: SocketAddr) -> Result<[f64; 2], Failure> {
    let mut sender = Sender::connect(address).await?;
    let (_, text) = sender.ask(b"GET /metrics HTTP/1.1\r\nhost: bench\r\n\r\n").await?;
    let value = |what: &str| {
        let name = format!("krate_store{{what=\"{what}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)).and_then(|value| value.parse().ok())
    };
    Ok([value("syncs").ok_or("no syncs in /metrics")?, value("batches").ok_or("no batches in /metrics")?])
}

struct Load {
    accepted: u64,
    seconds: f64,
    syncs: f64,
    batches: f64,
    /// In nanoseconds.
    median_wait: f64,
}

async fn load(address: SocketAddr, senders: u64, numbers: &Arc<AtomicU64>) -> Result<Load, Failure> {
    let body: Arc<[u8]> = payload::body().into();
    let signature: Arc<str> = payload::signature(&body).into();
    let [syncs, batches] = store_did(address).await?;
    let started = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..senders {
        let (body, signature, numbers) = (Arc::clone(&body), Arc::clone(&signature), Arc::clone(numbers));
        tasks.push(tokio::spawn(async move {
            let mut sender = Sender::connect(address).await?;
            let mut waits = Vec::new();
            while started.elapsed() < LOAD {
                let request = delivery(numbers.fetch_add(1, Ordering::Relaxed), &body, &signature);
                let sent = Instant::now();
                match sender.ask(&request).await? {
                    (202, _) => waits.push(sent.elapsed().as_secs_f64() * 1e9),
                    (status, text) => return Err(format!("answered {status}: {text}").into()),
                }
            }
            Ok::<_, Failure>(waits)
        }));
    }
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await??);
    }
    let seconds = started.elapsed().as_secs_f64();
    let [syncs_after, batches_after] = store_did(address).await?;
    Ok(Load {
        accepted: u64::try_from(waits.len())?,
        seconds,
        syncs: syncs_after - syncs,
        batches: batches_after - batches,
        median_wait: median(waits.into_iter()),
    })
}

/// What one sync costs here, with as much new data as one delivery brings.
fn sync_floor(folder: &Path) -> Result<f64, Failure> {
    let mut file = File::create(folder.join("floor"))?;
    let body = payload::body();
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&body)?;
        let started = Instant::now();
        file.sync_data()?;
        times.push(started.elapsed().as_secs_f64() * 1e9);
    }
    Ok(median(times.into_iter()))
}

#[allow(clippy::cast_precision_loss)] // A count of deliveries.
fn measure() -> Result<(), Failure> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let server = Server::start(&binary()?, folder.path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let numbers = Arc::default();
    println!("durable deliveries of 24 KB over HTTP (goal: at least 50 a sync under load)");
    println!("  one sync of this medium: {} (median of {SYNCS})", shown(sync_floor(folder.path())?));
    println!("  {:>8} {:>12} {:>12} {:>12} {:>14}", "senders", "deliveries/s", "a sync", "a batch", "median answer");
    for senders in SENDERS {
        let load = runtime.block_on(load(server.address, senders, &numbers))?;
        let accepted = load.accepted as f64;
        println!(
            "  {senders:>8} {:>12.0} {:>12.1} {:>12.1} {:>14}",
            accepted / load.seconds,
            accepted / load.syncs,
            accepted / load.batches,
            shown(load.median_wait),
        );
    }
    println!("  one sync of this medium: {} afterwards", shown(sync_floor(folder.path())?));
    Ok(())
}

fn main() -> Result<(), Failure> {
    if is_measured() {
        return measure();
    }
    println!("durable: measures a server under `cargo bench` only");
    Ok(())
}
