//! Makes each deliberate mistake in turn, and says which history finds it. `scripts/mistakes` builds and runs it; names of mistakes as arguments: only those,
//! and with `NAME@SEED` from that history on.

/// Histories are made of small objects that live for a moment.
#[cfg(krate_mistakes)]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Histories that each mistake is looked for in, where `KRATE_HISTORIES` doesn't say.
#[cfg(krate_mistakes)]
const MOST: u64 = 10_000;

#[cfg(krate_mistakes)]
fn main() -> std::process::ExitCode {
    use krate_sync::mistakes::{Mistake, make};
    use krate_tests::simulate::campaign::Campaign;
    use krate_tests::simulate::play::Plan;

    let plan = Plan::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let most = std::env::var("KRATE_HISTORIES").ok().and_then(|text| text.parse().ok()).unwrap_or(MOST);
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let mut found = 0_usize;
    let mut all = 0_usize;
    println!("| mistake | what is done wrong | seen in | found by seed | seconds | what didn't hold |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for mistake in Mistake::ALL {
        let asked = wanted.iter().find_map(|text| {
            let (name, first) = text.split_once('@').unwrap_or((text, "0"));
            (name == mistake.as_str()).then(|| first.parse().unwrap_or(0))
        });
        let Some(first) = asked.or(wanted.is_empty().then_some(0)) else { continue };
        all = all.saturating_add(1);
        let seen = mistake.seen().map_or_else(String::new, |report| {
            let (repository, number) = report.split_once('#').unwrap_or((report, ""));
            format!("[{report}](https://github.com/{repository}/issues/{number})")
        });
        let begun = std::time::Instant::now();
        let mut from = first;
        let finder = loop {
            make(Some(*mistake));
            let failed = Campaign::run(&plan, from..most, threads, 1).failed.into_iter().next();
            make(None);
            match failed {
                // A history that doesn't hold without the mistake either has found nothing.
                Some((seed, _)) if !Campaign::run(&plan, seed..seed.saturating_add(1), 1, 1).failed.is_empty() => {
                    from = seed.saturating_add(1);
                }
                other => break other,
            }
        };
        let seconds = begun.elapsed().as_secs_f64();
        match finder {
            Some((seed, wrong)) => {
                found = found.saturating_add(1);
                let wrong: String = wrong.lines().next().unwrap_or_default().chars().take(100).collect();
                let (name, what, wrong) = (mistake.as_str(), mistake.what(), wrong.replace('|', "/"));
                println!("| {name} | {what} | {seen} | {seed} | {seconds:.1} | {wrong} |");
            }
            None => {
                println!("| {} | {} | {seen} | none of {most} | {seconds:.0} | |", mistake.as_str(), mistake.what())
            }
        }
    }
    println!("\n{found} of {all} mistakes found, each within {most} histories of {} events.", plan.events);
    if found == all { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}

#[cfg(not(krate_mistakes))]
fn main() -> std::process::ExitCode {
    eprintln!("this build makes no mistakes: scripts/mistakes makes one that does");
    std::process::ExitCode::from(2)
}
