//! Rows that lists showed lately, so that whoever asks again is answered without the database.
//!
//! A row is found unless the roster knows of a newer generation: every write but that of activity makes one, so what was
//! read before a write is never shown after it, and nothing has to be told of writes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use types::SandboxId;
use types::sandbox::Sandbox;

/// The most that is kept, of all organisations; then all of it is let go, which costs one read each.
const MOST_BYTES: usize = 32 << 20;
/// A larger row is not kept: it would push out many.
const LARGEST_BYTES: usize = 64 << 10;
/// What an entry of a map of texts takes beside its texts.
const ENTRY_BYTES: usize = 96;

/// The rows.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    rows: HashMap<SandboxId, Arc<Sandbox>>,
    bytes: usize,
}

impl Kept {
    /// Returns those of the rows that are kept, each by its id and the generation that it must have reached.
    pub(crate) fn find(
        &self,
        wanted: impl Iterator<Item = (SandboxId, i64)>,
    ) -> HashMap<SandboxId, Arc<Sandbox>> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = wanted.filter_map(|(id, generation)| {
            let row = inner.rows.get(&id).filter(|row| row.generation >= generation)?;
            Some((id, Arc::clone(row)))
        });
        found.collect()
    }

    /// Keeps rows as they were read; a newer one that is there stays.
    pub(crate) fn keep(&self, rows: &[Arc<Sandbox>]) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            let weight = weight(row);
            let is_known = inner.rows.get(&row.id).is_some_and(|known| known.generation >= row.generation);
            if weight > LARGEST_BYTES || is_known {
                continue;
            }
            if inner.bytes + weight > MOST_BYTES {
                *inner = Inner::default();
            }
            inner.bytes += weight;
            if let Some(former) = inner.rows.insert(row.id, Arc::clone(row)) {
                inner.bytes = inner.bytes.saturating_sub(self::weight(&former));
            }
        }
    }
}

/// Returns about how much memory a row takes.
fn weight(row: &Sandbox) -> usize {
    let texts =
        [&row.name, &row.snapshot, &row.image, &row.region, &row.user, &row.signing_key, &row.auth_token];
    let maybe = [&row.error_reason, &row.daemon_version, &row.backup.object, &row.backup.digest];
    let failure =
        row.failure.iter().map(|failure| failure.cause.len() + failure.evidence.len() + failure.remedy.len());
    let maps = row.env.iter().chain(&row.labels).map(|(key, value)| ENTRY_BYTES + key.len() + value.len());
    let policies = std::iter::once(&row.network).chain(&row.network_applied);
    let policies =
        policies.map(|policy| ENTRY_BYTES * (policy.allow_list.len() + policy.domain_allow_list.len()));
    size_of::<Sandbox>()
        + texts.into_iter().map(String::len).sum::<usize>()
        + maybe.into_iter().flatten().map(String::len).sum::<usize>()
        + failure.sum::<usize>()
        + maps.sum::<usize>()
        + policies.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use types::{OrganizationId, SystemRandom, Timestamp};

    use super::*;

    fn row(number: u128, generation: i64, padding: usize) -> Arc<Sandbox> {
        let organization = OrganizationId::from_u128(1);
        let id = SandboxId::from_u128(number);
        let row = Sandbox::new(id, organization, &SystemRandom, Timestamp::UNIX_EPOCH);
        let env = [("PADDING".to_owned(), "x".repeat(padding))].into();
        Arc::new(Sandbox { generation, env, ..row })
    }

    #[test]
    fn a_row_is_found_until_a_newer_one_is_known() {
        let kept = Kept::default();
        kept.keep(&[row(1, 1, 0), row(2, 7, 0)]);
        let id = SandboxId::from_u128(1);
        let finds = |generation| kept.find([(id, generation)].into_iter()).len();
        assert_eq!([finds(0), finds(1), finds(2)], [1, 1, 0]);
        kept.keep(&[row(1, 3, 0)]);
        assert_eq!([finds(1), finds(2), finds(3), finds(4)], [1, 1, 1, 0]);
        kept.keep(&[row(1, 2, 0)]);
        assert_eq!(finds(3), 1, "an older one was read later");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let kept = Kept::default();
        kept.keep(&[row(1, 1, LARGEST_BYTES)]);
        assert_eq!(kept.0.lock().unwrap().rows.len(), 0, "one that is too large");
        let mut most = 0;
        for number in 0..4_000 {
            kept.keep(&[row(number, 1, LARGEST_BYTES / 2)]);
            let inner = kept.0.lock().unwrap();
            let bytes: usize = inner.rows.values().map(|row| weight(row)).sum();
            assert_eq!(bytes, inner.bytes);
            most = most.max(bytes);
        }
        assert!((MOST_BYTES / 2..=MOST_BYTES).contains(&most), "{most}");
        kept.keep(&[row(3_999, 2, 0), row(3_999, 3, 0)]);
        let inner = kept.0.lock().unwrap();
        assert_eq!(inner.bytes, inner.rows.values().map(|row| weight(row)).sum::<usize>());
    }
}
