//! What a sandbox may use.

/// Limits of one sandbox. Whole units, because the contract's are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// Virtual processors.
    pub cpu: u32,
    /// Graphics processors.
    pub gpu: u32,
    /// Memory in GiB.
    pub memory_gib: u32,
    /// Writable disk in GiB.
    pub disk_gib: u32,
}

impl Default for Resources {
    /// The contract's default for a sandbox that names none: 1 vCPU, 1 GiB memory, 3 GiB disk.
    fn default() -> Self {
        Self { cpu: 1, gpu: 0, memory_gib: 1, disk_gib: 3 }
    }
}

/// Writes a number of bytes as people do, rounded down to a tenth: `1.5 GiB`.
pub fn bytes_as_text(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.into_iter().find(|(shift, _)| bytes >> shift > 0);
    let Some((shift, name)) = unit else { return format!("{bytes} bytes") };
    let tenths = (u128::from(bytes) * 10) >> shift;
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} {name}"),
        (whole, tenth) => format!("{whole}.{tenth} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_as_people_write_them() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (4096, "4 KiB"),
            (256 << 20, "256 MiB"),
            (3 << 29, "1.5 GiB"),
            (2_900_000_000, "2.7 GiB"),
            (u64::MAX, "17179869183.9 GiB"),
        ] {
            assert_eq!(bytes_as_text(bytes), text);
        }
    }
}
