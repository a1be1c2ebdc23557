//! A sandbox's place on the host: one small number that decides its ids and its address.

/// How many user and group ids a sandbox has.
pub const IDS_PER_SANDBOX: u32 = 65_536;

/// Returns the first host id of place `index`, counted from `id_base`.
pub fn first_id(id_base: u32, index: u32) -> u32 {
    id_base.saturating_add(index.saturating_mul(IDS_PER_SANDBOX))
}

/// Returns how many of `wanted` places there are ids for.
pub fn places(id_base: u32, wanted: u32) -> u32 {
    wanted.min((u32::MAX - id_base) / IDS_PER_SANDBOX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_do_not_overlap_and_stay_below_the_last_id() {
        let base = 1_000_000;
        assert_eq!(first_id(base, 1) - first_id(base, 0), IDS_PER_SANDBOX);
        let last = places(base, u32::MAX) - 1;
        assert_eq!(places(base, 7), 7);
        assert!(first_id(base, last).checked_add(IDS_PER_SANDBOX - 1).is_some());
    }
}
