//! The simulator's only source of chance: SplitMix64, written out here so that a seed means the same on every target and in
//! every release.

/// A seeded generator (SplitMix64: a Weyl sequence through a 64-bit finalizer, period 2⁶⁴). Not for secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// The generator that always yields the same numbers for `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A generator for one purpose. Drawing from one stream does not move another, so switching one kind of fault on leaves the
    /// schedule of the others as it was; that keeps a shrunk history comparable with the one it came from.
    pub fn stream(seed: u64, name: &str) -> Self {
        let mut rng = Self::seeded(seed);
        for byte in name.bytes() {
            rng.state = rng.next().wrapping_add(u64::from(byte));
        }
        rng
    }

    /// The next 64 bits.
    #[expect(clippy::should_implement_trait, reason = "an iterator of an endless generator would suggest it can end")]
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of a 64×64 product: no division, and a bias far below what a simulation can notice.
        let product = u128::from(self.next()) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// True in `per_mille` of 1000 draws. Draws once, whatever the rate.
    pub fn strikes(&mut self, per_mille: u16) -> bool {
        self.below(1000) < u64::from(per_mille)
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn yields_the_published_splitmix64_sequence() {
        let mut rng = Rng::seeded(1_234_567);
        let drawn: Vec<u64> = (0..3).map(|_| rng.next()).collect();
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn streams_differ_by_name_and_bounds_hold() {
        assert_ne!(Rng::stream(1, "drop").next(), Rng::stream(1, "delay").next());
        let mut rng = Rng::seeded(9);
        assert!((0..1000).all(|_| rng.below(7) < 7));
        assert_eq!(rng.below(0), 0);
        assert!((0..1000).all(|_| !rng.strikes(0) && rng.strikes(1000)));
    }
}
