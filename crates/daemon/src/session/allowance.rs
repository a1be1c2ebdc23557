//! What all sessions together may keep, handed out in grants that come back by themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An amount of something that is shared.
#[derive(Debug, Clone)]
pub struct Allowance(Arc<AtomicUsize>);

impl Allowance {
    /// Starts with `amount`.
    pub fn new(amount: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(amount)))
    }

    /// Takes a part of it; `None` when less is left.
    pub fn take(&self, amount: usize) -> Option<Grant> {
        let taken = self.0.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(amount));
        taken.ok().map(|_| Grant { allowance: self.clone(), amount })
    }
}

/// A part of an allowance; dropping it gives it back.
#[derive(Debug)]
pub struct Grant {
    allowance: Allowance,
    amount: usize,
}

impl Grant {
    /// Takes more of the same allowance; says whether there was as much.
    pub fn grow(&mut self, amount: usize) -> bool {
        let Some(mut more) = self.allowance.take(amount) else { return false };
        self.amount += std::mem::take(&mut more.amount);
        true
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.allowance.0.fetch_add(self.amount, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_granted_comes_back() {
        let allowance = Allowance::new(10);
        let mut first = allowance.take(4).expect("enough");
        assert!(first.grow(5) && !first.grow(2) && allowance.take(2).is_none());
        let second = allowance.take(1).expect("the rest");
        drop((first, second));
        assert!(allowance.take(11).is_none());
        allowance.take(10).expect("all of it");
    }
}
