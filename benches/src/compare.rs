//! Candidates that take turns on the clock.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long one batch of one candidate takes, about.
const BATCH: Duration = Duration::from_micros(500);
/// Turns that count.
const TURNS: usize = 301;
/// Turns before them.
const WARM_UP: usize = 30;

/// Whether to measure: cargo says so to the benches that `cargo bench` starts.
pub fn is_measured() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// One way to do it.
pub struct Candidate<'c> {
    name: &'c str,
    run: Box<dyn FnMut() + 'c>,
}

impl<'c> Candidate<'c> {
    /// A way by name. What `run` returns is kept from being optimized away, and its drop counts.
    pub fn new<T>(name: &'c str, mut run: impl FnMut() -> T + 'c) -> Self {
        Self {
            name,
            run: Box::new(move || {
                black_box(run());
            }),
        }
    }

    fn time(&mut self, times: u32) -> Duration {
        let started = Instant::now();
        for _ in 0..times {
            (self.run)();
        }
        started.elapsed()
    }

    fn batch(&mut self) -> u32 {
        let mut times = 1_u32;
        loop {
            let took = self.time(times);
            if took >= BATCH || times >= 1 << 24 {
                return times;
            }
            times = times.saturating_mul(2);
        }
    }
}

/// What came of it, candidate by candidate.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Name, nanoseconds, ratio to the first candidate.
    pub rows: Vec<(String, f64, f64)>,
}

impl Comparison {
    /// The ratio of the candidate by this name to the first one.
    pub fn ratio(&self, name: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.0 == name).map(|row| row.2)
    }
}

/// Lets the candidates take turns, prints each one's median time and its ratio to the first, and returns them. An argument that is no option selects
/// those whose names contain it, for a look with a profiler.
pub fn compare(title: &str, mut candidates: Vec<Candidate<'_>>) -> Comparison {
    if !is_measured() {
        for candidate in &mut candidates {
            candidate.time(1);
        }
        println!("{title}: {} candidates ran", candidates.len());
        return Comparison { rows: Vec::new() };
    }
    if let Some(wanted) = std::env::args().skip(1).find(|argument| !argument.starts_with('-')) {
        candidates.retain(|candidate| candidate.name.contains(&wanted));
        if candidates.is_empty() {
            return Comparison { rows: Vec::new() };
        }
    }
    let batches: Vec<u32> = candidates.iter_mut().map(Candidate::batch).collect();
    let mut turns: Vec<Vec<f64>> = Vec::with_capacity(TURNS);
    for turn in 0..WARM_UP + TURNS {
        let times: Vec<f64> = candidates
            .iter_mut()
            .zip(&batches)
            .map(|(candidate, times)| candidate.time(*times).as_secs_f64() * 1e9 / f64::from(*times))
            .collect();
        if turn >= WARM_UP {
            turns.push(times);
        }
    }
    println!("\n{title}");
    println!("  {:<44} {:>10} {:>9}", "", "median", "ratio");
    let rows = candidates
        .iter()
        .enumerate()
        .map(|(at, candidate)| {
            let nanoseconds = median(turns.iter().map(|turn| turn[at]));
            let ratio = median(turns.iter().map(|turn| turn[at] / turn[0]));
            println!("  {:<44} {:>10} {ratio:>8.2}x", candidate.name, shown(nanoseconds));
            (candidate.name.to_owned(), nanoseconds, ratio)
        })
        .collect();
    Comparison { rows }
}

/// The value in the middle.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A time as people read it.
pub fn shown(nanoseconds: f64) -> String {
    if nanoseconds < 1e3 {
        format!("{nanoseconds:.0} ns")
    } else if nanoseconds < 1e6 {
        format!("{:.2} µs", nanoseconds / 1e3)
    } else {
        format!("{:.2} ms", nanoseconds / 1e6)
    }
}
