//! How much every organisation keeps, so that none fills the disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use types::OrganizationId;

use crate::error::S3Error;

/// What every object counts at least: a block of the file system.
const LEAST_BYTES: u64 = 4096;
/// Objects and parts of unfinished uploads that one organisation may have.
const MOST_OBJECTS: u64 = 100_000;
/// Uploads of one organisation at a time: each holds a few MiB.
const UPLOADS_AT_ONCE: usize = 16;
/// How long an upload waits for others of its organisation.
const PATIENCE: Duration = Duration::from_mins(1);

/// What an organisation keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) bytes: u64,
    pub(crate) objects: u64,
}

impl Usage {
    /// Adds an object.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes.max(LEAST_BYTES));
        self.objects = self.objects.saturating_add(1);
    }
}

/// What all organisations keep.
#[derive(Debug)]
pub(crate) struct Ledger {
    limit_bytes: u64,
    known: Mutex<HashMap<OrganizationId, Usage>>,
    uploads: Mutex<HashMap<OrganizationId, Arc<Semaphore>>>,
}

impl Ledger {
    pub(crate) fn new(limit_bytes: u64) -> Self {
        Self { limit_bytes, known: Mutex::default(), uploads: Mutex::default() }
    }

    /// Tells whether it must be told first what an organisation keeps.
    pub(crate) fn knows(&self, organization: OrganizationId) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&organization)
    }

    /// Is told what an organisation keeps; what it knows already stays.
    pub(crate) fn learn(&self, organization: OrganizationId, usage: Usage) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).entry(organization).or_insert(usage);
    }

    /// Waits until an organisation may upload one thing more.
    pub(crate) async fn turn(&self, organization: OrganizationId) -> Result<OwnedSemaphorePermit, S3Error> {
        let semaphore = {
            let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever has no upload is not remembered: there may be many organisations.
            uploads.retain(|_, held| Arc::strong_count(held) > 1);
            let made = || Arc::new(Semaphore::new(UPLOADS_AT_ONCE));
            uploads.entry(organization).or_insert_with(made).clone()
        };
        match tokio::time::timeout(PATIENCE, semaphore.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(S3Error::Busy),
        }
    }

    /// Begins to count an object that is on its way.
    pub(crate) fn begin(self: &Arc<Self>, organization: OrganizationId) -> Result<Reserved, S3Error> {
        let mut reserved =
            Reserved { ledger: self.clone(), organization, counted: Usage::default(), bytes: 0 };
        reserved.change(Usage { bytes: LEAST_BYTES, objects: 1 })?;
        Ok(reserved)
    }

    /// Counts what is there already.
    pub(crate) fn took(&self, organization: OrganizationId, usage: Usage) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counted) = known.get_mut(&organization) {
            counted.bytes = counted.bytes.saturating_add(usage.bytes);
            counted.objects = counted.objects.saturating_add(usage.objects);
        }
    }

    /// Stops to count an object that is gone.
    pub(crate) fn gone(&self, organization: OrganizationId, bytes: u64) {
        self.forget(organization, Usage { bytes: bytes.max(LEAST_BYTES), objects: 1 });
    }

    fn forget(&self, organization: OrganizationId, usage: Usage) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counted) = known.get_mut(&organization) {
            counted.bytes = counted.bytes.saturating_sub(usage.bytes);
            counted.objects = counted.objects.saturating_sub(usage.objects);
        }
    }
}

/// What is counted of an object that is on its way: dropped before it is kept, it was never there.
#[derive(Debug)]
pub(crate) struct Reserved {
    ledger: Arc<Ledger>,
    organization: OrganizationId,
    counted: Usage,
    bytes: u64,
}

impl Reserved {
    /// Counts more content.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<(), S3Error> {
        self.bytes = self.bytes.saturating_add(bytes);
        let more = self.bytes.max(LEAST_BYTES).saturating_sub(self.counted.bytes);
        self.change(Usage { bytes: more, objects: 0 })
    }

    /// Leaves it counted: the object is there.
    pub(crate) fn keep(mut self) {
        self.counted = Usage::default();
    }

    fn change(&mut self, more: Usage) -> Result<(), S3Error> {
        let limit_bytes = self.ledger.limit_bytes;
        let mut known = self.ledger.known.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = known.entry(self.organization).or_default();
        let bytes = counted.bytes.saturating_add(more.bytes);
        let objects = counted.objects.saturating_add(more.objects);
        if (more.bytes > 0 && bytes > limit_bytes) || (more.objects > 0 && objects > MOST_OBJECTS) {
            return Err(S3Error::Quota { limit_bytes, limit_objects: MOST_OBJECTS });
        }
        *counted = Usage { bytes, objects };
        self.counted.bytes += more.bytes;
        self.counted.objects += more.objects;
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.ledger.forget(self.organization, self.counted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_is_not_counted_and_too_much_is_refused() {
        let ledger = Arc::new(Ledger::new(20_000));
        let organization = OrganizationId::from_u128(1);
        let usage = || ledger.known.lock().unwrap().get(&organization).copied().unwrap_or_default();
        ledger.learn(organization, Usage::default());
        let mut one = ledger.begin(organization).unwrap();
        one.grow(100).unwrap();
        assert_eq!(usage(), Usage { bytes: LEAST_BYTES, objects: 1 });
        one.grow(10_000).unwrap();
        assert_eq!(usage(), Usage { bytes: 10_100, objects: 1 });
        one.keep();
        let mut other = ledger.begin(organization).unwrap();
        assert!(matches!(other.grow(15_000), Err(S3Error::Quota { limit_bytes: 20_000, .. })));
        drop(other);
        assert_eq!(usage(), Usage { bytes: 10_100, objects: 1 });
        ledger.gone(organization, 10_100);
        assert_eq!(usage(), Usage::default());
        ledger.gone(organization, 1);
        assert_eq!(usage(), Usage::default());
    }

    #[tokio::test]
    async fn one_organization_waits_for_itself_alone() {
        let ledger = Ledger::new(1);
        let (one, other) = (OrganizationId::from_u128(1), OrganizationId::from_u128(2));
        let mut held = Vec::new();
        for _ in 0..UPLOADS_AT_ONCE {
            held.push(ledger.turn(one).await.unwrap());
        }
        drop(ledger.turn(other).await.unwrap());
        tokio::time::pause();
        assert!(matches!(ledger.turn(one).await, Err(S3Error::Busy)));
        held.clear();
        drop(ledger.turn(one).await.unwrap());
    }
}
