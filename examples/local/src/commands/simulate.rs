//! `krate simulate`: histories in which everything fails that can fail, played and checked without a network. Exit code 1 where one doesn't hold.

use std::time::Instant;

use krate_tests::simulate::campaign::{Campaign, Failure, play_and_check, report};
use krate_tests::simulate::fault::Fault;
use krate_tests::simulate::play::Plan;
use krate_tests::world::Crash;
use serde::Serialize;

use crate::error::{Answer, Error};
use crate::output::{Format, Output, columns};

/// Failing histories after which a campaign stops.
const MOST_FAILURES: usize = 20;
/// Pairs that are named where they never struck.
const MOST_PAIRS: usize = 40;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The first seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds, one after the other
    #[arg(long, value_name = "N", default_value_t = 1000)]
    histories: u64,
    /// How many things happen in each history
    #[arg(long, value_name = "N", default_value_t = 200)]
    events: usize,
    /// Only these faults; `list` prints them all
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    faults: Vec<String>,
    /// Only these steps of the one history with `--seed`, and its timeline, as a failure is reported
    #[arg(long, value_name = "PLACES", value_delimiter = ',')]
    steps: Vec<usize>,
    /// Nobody edits here, only at the forge
    #[arg(long)]
    one_sided: bool,
    /// The process dies at this commit of the one history with `--seed`, and its timeline
    #[arg(long, value_name = "before:N|after:N", value_parser = crash)]
    crash: Option<Crash>,
    /// Fail where a fault or a pair of faults never struck in one history
    #[arg(long)]
    cover: bool,
    /// Threads; as many as there are cores by default
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Told {
    name: &'static str,
    group: String,
    what: &'static str,
}

/// What a campaign came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    histories: u64,
    events: u64,
    seconds: f64,
    microseconds_per_event: f64,
    failed: Vec<Failed>,
    struck: Vec<Struck>,
    pairs: usize,
    pairs_that_struck: usize,
    idle_pairs: Vec<[&'static str; 2]>,
}

#[derive(Debug, Serialize)]
struct Failed {
    seed: u64,
    wrong: String,
}

#[derive(Debug, Serialize)]
struct Struck {
    fault: &'static str,
    times: u64,
}

pub(crate) fn run(args: &Args, output: Output) -> Result<Answer, Error> {
    if args.faults == ["list"] {
        let all: Vec<Told> = Fault::ALL
            .iter()
            .map(|fault| Told { name: fault.as_str(), group: format!("{:?}", fault.group()), what: fault.what() })
            .collect();
        output.print(Format::Table, &all, |all| {
            let rows = all.iter().map(|told| vec![told.name.to_owned(), told.group.clone(), told.what.to_owned()]);
            columns(&["fault", "group", "what"].map(str::to_owned), rows.collect())
        })?;
        return Ok(Answer::yes_if(true));
    }
    let plan = Plan { events: args.events, faults: faults(&args.faults)?, two_sided: !args.one_sided };
    if !args.steps.is_empty() || args.crash.is_some() {
        return replay(args, &plan);
    }
    let threads = args.threads.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
    let begun = Instant::now();
    let seeds = args.seed..args.seed.saturating_add(args.histories);
    let campaign = Campaign::run(&plan, seeds, threads, MOST_FAILURES);
    let summary = summary(&plan, &campaign, begun.elapsed().as_secs_f64());
    output.print(Format::Table, &summary, table)?;
    if let Some((seed, _)) = campaign.failed.first()
        && output.format_or(Format::Table) == Format::Table
        && let Some(failure) = Failure::of(&plan, *seed)
    {
        crate::output::line(&format!("\n{}\n{}", report(&failure), again(args, &failure)))?;
    }
    let covered = campaign.idle(&plan).is_empty() && summary.idle_pairs.is_empty();
    Ok(Answer::yes_if(campaign.failed.is_empty() && (covered || !args.cover)))
}

/// The command that plays a failure again.
fn again(args: &Args, failure: &Failure) -> String {
    let places: Vec<String> = failure.places.iter().map(ToString::to_string).collect();
    let mut command = format!("replay: krate simulate --seed {} --steps {}", failure.seed, places.join(","));
    if args.events != 200 {
        command += &format!(" --events {}", args.events);
    }
    if args.one_sided {
        command += " --one-sided";
    }
    if !args.faults.is_empty() {
        command += &format!(" --faults {}", args.faults.join(","));
    }
    command
}

fn replay(args: &Args, plan: &Plan) -> Result<Answer, Error> {
    let all = plan.steps(args.seed);
    let mut steps = Vec::new();
    for place in &args.steps {
        let step = all.get(*place).ok_or_else(|| {
            Error::new(format!("--steps: the history has no step {place}; it has {}, counted from 0", all.len()))
        })?;
        steps.push(*step);
    }
    let steps = if steps.is_empty() { all } else { steps };
    let played = play_and_check(args.seed, &steps, true, args.crash);
    crate::output::line(&played.timeline.join("\n"))?;
    for wrong in &played.wrong {
        crate::output::line(&format!("WRONG {wrong}"))?;
    }
    Ok(Answer::yes_if(played.wrong.is_empty()))
}

fn crash(text: &str) -> Result<Crash, String> {
    let wrong = || format!("{text:?} is no crash: before:N or after:N is expected, with the number of a commit");
    let (when, commit) = text.split_once(':').ok_or_else(wrong)?;
    let commit = commit.parse().map_err(|_| wrong())?;
    match when {
        "before" => Ok(Crash { commit, after: false }),
        "after" => Ok(Crash { commit, after: true }),
        _ => Err(wrong()),
    }
}

fn faults(names: &[String]) -> Result<Vec<Fault>, Error> {
    if names.is_empty() {
        return Ok(Fault::ALL.to_vec());
    }
    let one = |name: &String| {
        Fault::named(name).ok_or_else(|| {
            Error::new(format!("--faults: there is no fault {name:?}")).hint("krate simulate --faults list names them")
        })
    };
    names.iter().map(one).collect()
}

#[allow(clippy::cast_precision_loss)] // Shown with three digits.
fn summary(plan: &Plan, campaign: &Campaign, seconds: f64) -> Summary {
    let events = campaign.histories.saturating_mul(plan.events as u64);
    let (pairs, idle) = campaign.idle_pairs(plan);
    let failed = campaign.failed.iter().map(|(seed, wrong)| Failed { seed: *seed, wrong: first_line(wrong) });
    let times = |fault: &Fault| campaign.struck.get(fault).copied().unwrap_or(0);
    Summary {
        histories: campaign.histories,
        events,
        seconds,
        microseconds_per_event: seconds * 1e6 / (events.max(1) as f64),
        failed: failed.collect(),
        struck: plan.faults.iter().map(|fault| Struck { fault: fault.as_str(), times: times(fault) }).collect(),
        pairs,
        pairs_that_struck: pairs.saturating_sub(idle.len()),
        idle_pairs: idle.iter().map(|(one, other)| [one.as_str(), other.as_str()]).collect(),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn table(summary: &Summary) -> String {
    let rows = summary.struck.iter().map(|struck| vec![struck.fault.to_owned(), struck.times.to_string()]);
    let mut text = columns(&["fault", "struck"].map(str::to_owned), rows.collect());
    text += &format!(
        "\n\n{} histories of {} events each, {} failed; {} of {} pairs of faults struck together\n{:.1} s, {:.0} µs an event\n",
        summary.histories,
        summary.events.checked_div(summary.histories).unwrap_or(0),
        summary.failed.len(),
        summary.pairs_that_struck,
        summary.pairs,
        summary.seconds,
        summary.microseconds_per_event
    );
    if summary.idle_pairs.len() <= MOST_PAIRS {
        for [one, other] in &summary.idle_pairs {
            text += &format!("never together: {one} and {other}\n");
        }
    }
    for failed in &summary.failed {
        text += &format!("seed {}: {}\n", failed.seed, failed.wrong);
    }
    text
}
