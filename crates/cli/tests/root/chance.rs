//! Chance that can be repeated: the same seed gives the same sequence.

use std::time::Duration;

/// A source of numbers that look random (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    /// Takes the seed from the variable `name`, so that a failure can be repeated, or else draws one and prints it.
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever repeats a failure says the seed; there is no setting here"
    )]
    pub(crate) fn from_environment(name: &str) -> Self {
        let said = std::env::var(name).ok().and_then(|text| text.parse().ok());
        let seed = said.unwrap_or_else(|| {
            let mut bytes = [0; 8];
            types::Random::fill(&types::SystemRandom, &mut bytes);
            u64::from_le_bytes(bytes)
        });
        eprintln!("repeat with {name}={seed}");
        Self(seed)
    }

    /// Makes another source that goes its own way.
    pub(crate) fn branch(&mut self) -> Self {
        Self(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Draws a number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// Tells yes once in `times`.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Draws a time up to `most_ms` milliseconds.
    pub(crate) fn pause(&mut self, most_ms: u64) -> Duration {
        Duration::from_micros(self.below(most_ms * 1000))
    }
}
