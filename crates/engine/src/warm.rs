//! What to do next about a warm pool: pure.

use types::SandboxId;
use types::resource::Resources;
use types::sandbox::{Desired, Observed, Sandbox};

/// What the sandboxes of a pool are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Reference of the image.
    pub image: String,
    /// What each may use.
    pub resources: Resources,
}

/// What is to be done about a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Sandboxes that are to go.
    pub remove: Vec<SandboxId>,
    /// How many are to be made.
    pub make: u32,
    /// Why one of them failed.
    pub failure: Option<String>,
}

/// Returns what brings a pool of `size` to rest. `members` are its sandboxes, oldest first; without an origin it keeps none.
pub fn plan(size: u32, origin: Option<&Origin>, members: &[Sandbox]) -> Change {
    let mut change = Change::default();
    let mut kept = 0;
    for member in members {
        let is_of = |origin: &Origin| {
            (&origin.image, origin.resources) == (&member.image, member.resources)
                && is_ready_or_will_be(member)
        };
        if kept < size && origin.is_some_and(is_of) {
            kept += 1;
        } else {
            change.remove.push(member.id);
        }
        if member.observed == Observed::Error {
            change.failure.clone_from(&member.error_reason);
        }
    }
    change.make = if origin.is_some() { size - kept } else { 0 };
    change
}

const fn is_ready_or_will_be(member: &Sandbox) -> bool {
    matches!(member.desired, Desired::Started)
        && matches!(member.observed, Observed::Started | Observed::Absent | Observed::Unknown)
}

#[cfg(test)]
mod tests {
    use types::{OrganizationId, SystemRandom, Timestamp};

    use super::*;

    fn member(id: u128, observed: Observed) -> Sandbox {
        let id = SandboxId::from_u128(id);
        let new = Sandbox::new(id, OrganizationId::from_u128(1), &SystemRandom, Timestamp::UNIX_EPOCH);
        Sandbox { image: "i".to_owned(), observed, error_reason: Some("no room".to_owned()), ..new }
    }

    fn origin() -> Origin {
        Origin { image: "i".to_owned(), resources: Resources::default() }
    }

    #[test]
    fn a_pool_is_filled_and_drained_to_its_size() {
        let ready = [member(1, Observed::Started), member(2, Observed::Absent), member(3, Observed::Started)];
        assert_eq!(plan(5, Some(&origin()), &ready), Change { make: 2, ..Change::default() });
        assert_eq!(plan(3, Some(&origin()), &ready), Change::default());
        let newest = vec![SandboxId::from_u128(2), SandboxId::from_u128(3)];
        assert_eq!(plan(1, Some(&origin()), &ready), Change { remove: newest, ..Change::default() });
        assert_eq!(plan(0, Some(&origin()), &ready).remove.len(), 3);
    }

    #[test]
    fn what_cannot_be_taken_goes_and_its_reason_is_told() {
        let members = [
            member(1, Observed::Error),
            member(2, Observed::Ended),
            member(3, Observed::Stopped),
            Sandbox { image: "old".to_owned(), ..member(4, Observed::Started) },
            Sandbox {
                resources: Resources { cpu: 9, ..Resources::default() },
                ..member(5, Observed::Started)
            },
        ];
        let change = plan(2, Some(&origin()), &members);
        assert_eq!(change.remove.len(), 5);
        assert_eq!((change.make, change.failure.as_deref()), (2, Some("no room")));
        let without = plan(2, None, &[member(1, Observed::Started)]);
        assert_eq!((without.remove.len(), without.make), (1, 0));
    }
}
