//! Whether a file system is full (statvfs(3)).

/// With less space than this a file system is full: no program needs exactly as much as is left, and the kernel keeps
/// a little back for its own lists of blocks.
const FULL_BYTES: u64 = 2 << 20;

/// What a file system lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// Hardly any space is left.
    Space {
        /// What is left.
        left_bytes: u64,
        /// What there is in all.
        total_bytes: u64,
    },
    /// No more files fit.
    Files {
        /// How many there can be.
        total: u64,
    },
}

/// Looks at the file system of `path`; `None` when nothing lacks, or it cannot be looked at.
pub fn shortage(path: &str) -> Option<Shortage> {
    // Without blocks it is a file system of the kernel's own, which keeps nothing.
    let status = rustix::fs::statvfs(path).ok().filter(|status| status.f_blocks > 0)?;
    let bytes = |blocks: u64| blocks.saturating_mul(status.f_frsize);
    let (left_bytes, total_bytes) = (bytes(status.f_bavail), bytes(status.f_blocks));
    if left_bytes < FULL_BYTES.min(total_bytes / 2) {
        Some(Shortage::Space { left_bytes, total_bytes })
    } else if status.f_files > 0 && status.f_ffree == 0 {
        Some(Shortage::Files { total: status.f_files })
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_nothing_is_never_full() {
        assert_eq!(shortage("/proc"), None);
        assert_eq!(shortage("/no/such/place"), None);
    }
}
