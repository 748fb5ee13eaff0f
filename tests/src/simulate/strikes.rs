//! Which faults wait for their chance, and which had it.

use std::collections::BTreeMap;

use krate_providers::simulator::Rng;

use super::fault::Fault;

/// The faults of a history: armed by its steps, taken where they can strike, counted when they did.
#[derive(Debug, Clone)]
pub struct Strikes {
    armed: BTreeMap<Fault, u32>,
    struck: BTreeMap<Fault, u64>,
    rng: Rng,
}

impl Strikes {
    /// None armed; what a strike needs of chance comes from `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self { armed: BTreeMap::new(), struck: BTreeMap::new(), rng: Rng::stream(seed, "strikes") }
    }

    /// Lets `fault` strike at its next chance.
    pub fn arm(&mut self, fault: Fault) {
        let waiting = self.armed.entry(fault).or_default();
        *waiting = waiting.saturating_add(1);
    }

    /// Takes the armed `fault`, where it is: then it strikes.
    pub fn take(&mut self, fault: Fault) -> bool {
        let Some(waiting) = self.armed.get_mut(&fault).filter(|waiting| **waiting > 0) else { return false };
        *waiting = waiting.saturating_sub(1);
        self.count(fault);
        true
    }

    /// Whether `fault` waits for its chance.
    pub fn is_armed(&self, fault: Fault) -> bool {
        self.armed.get(&fault).is_some_and(|waiting| *waiting > 0)
    }

    /// Counts a fault that struck by itself.
    pub fn count(&mut self, fault: Fault) {
        let count = self.struck.entry(fault).or_default();
        *count = count.saturating_add(1);
    }

    /// What had no chance yet has none any more.
    pub fn disarm(&mut self) {
        self.armed.clear();
    }

    /// How often each fault struck.
    pub fn struck(&self) -> &BTreeMap<Fault, u64> {
        &self.struck
    }

    /// Chance for what a strike needs: from 0 to below `bound`.
    pub fn draw(&mut self, bound: u64) -> u64 {
        self.rng.below(bound)
    }
}
