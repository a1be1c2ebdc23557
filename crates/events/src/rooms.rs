//! Who listens to which organisation.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Utf8Bytes;
use types::OrganizationId;

use crate::queue::Queue;

/// One room for each organisation that somebody listens to.
#[derive(Debug, Default)]
pub(crate) struct Rooms(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    last_number: u64,
    rooms: HashMap<OrganizationId, BTreeMap<u64, Arc<Queue>>>,
}

/// A place in a room, given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    rooms: Arc<Rooms>,
    organization: OrganizationId,
    number: u64,
}

impl Rooms {
    /// Takes a place in an organisation's room, unless it has `most` already.
    pub(crate) fn join(
        self: &Arc<Self>,
        organization: OrganizationId,
        queue: Arc<Queue>,
        most: usize,
    ) -> Option<Seat> {
        let mut inner = self.inner();
        inner.last_number += 1;
        let number = inner.last_number;
        let room = inner.rooms.entry(organization).or_default();
        if room.len() >= most {
            return None;
        }
        room.insert(number, queue);
        Some(Seat { rooms: self.clone(), organization, number })
    }

    /// Returns the queues of an organisation's room.
    pub(crate) fn listeners(&self, organization: OrganizationId) -> Vec<Arc<Queue>> {
        self.inner().rooms.get(&organization).map(|room| room.values().cloned().collect()).unwrap_or_default()
    }

    /// No listener is told anything under this lock, so a poisoned one still holds a sound map.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives a message to every listener.
pub(crate) fn tell(listeners: &[Arc<Queue>], message: &Utf8Bytes) {
    for queue in listeners {
        queue.push(message.clone());
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inner = self.rooms.inner();
        if let Some(room) = inner.rooms.get_mut(&self.organization) {
            room.remove(&self.number);
            if room.is_empty() {
                inner.rooms.remove(&self.organization);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_room_hears_only_of_its_organisation_and_is_gone_when_empty() {
        let rooms = Arc::new(Rooms::default());
        let (one, other) = (OrganizationId::from_u128(1), OrganizationId::from_u128(2));
        let queue = Arc::new(Queue::new(10, 100));
        let seat = rooms.join(one, queue.clone(), 1).expect("a seat");
        assert!(rooms.join(one, queue.clone(), 1).is_none());
        tell(&rooms.listeners(other), &"theirs".into());
        tell(&rooms.listeners(one), &"ours".into());
        assert_eq!(queue.next().await.expect("a message").as_str(), "ours");
        drop(seat);
        assert!(rooms.inner().rooms.is_empty());
        assert!(rooms.join(one, queue, 1).is_some());
    }
}
