//! Sandboxes of this host that the database does not know: it was damaged, or is older than they are.
//!
//! What is on the host is somebody's work, so it gets a row again and can be used and deleted. Its name, labels and
//! intervals were only in the database and are lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use runner::host::{Host, Presence};
use runner::sandbox::spec::Spec;
use store::Store;
use tracing::warn;
use types::resource::Resources;
use types::sandbox::{Desired, Intervals, Observed, Sandbox};
use types::{Clock, OrganizationId, Random, SandboxId};

use crate::error::ServerError;

const GIBIBYTE: u64 = 1 << 30;

/// Names the organisation that most sandboxes of the host belong to.
pub(crate) fn organization(orders: &[Spec]) -> Option<OrganizationId> {
    let mut counts: BTreeMap<OrganizationId, usize> = BTreeMap::new();
    for order in orders {
        if let Ok(id) = order.organization_id.parse() {
            *counts.entry(id).or_default() += 1;
        }
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(id, _)| id)
}

/// Adds a row for each of the host's `orders` that has none. Where its organisation is lost as well, it goes to
/// `heir`, so that somebody can reach it.
pub(crate) async fn adopt(
    store: &Store,
    host: &Arc<Host>,
    orders: Vec<Spec>,
    heir: OrganizationId,
    clock: &dyn Clock,
    random: &dyn Random,
) -> Result<(), ServerError> {
    let failed = |source| ServerError::Store { action: "take in sandboxes of this host", source };
    for order in orders {
        let Ok(id) = order.id.parse::<SandboxId>() else { continue };
        if store.sandbox_get(id).await.map_err(failed)?.is_some() {
            continue;
        }
        if store.sandbox_was_destroyed(id).await.map_err(failed)? {
            // Its deletion was answered, and a power cut brought the files back.
            warn!(sandbox.id = %id, "sandbox {id} was deleted and is on this host: it is removed again");
            let host = host.clone();
            let removed = tokio::task::spawn_blocking(move || host.destroy(&id.to_string())).await;
            if let Ok(Err(error)) = removed {
                warn!(sandbox.id = %id, "cannot remove it: {}", service::field::Chain(&error));
            }
            continue;
        }
        let known = order.organization_id.parse().ok();
        let known = match known {
            Some(known) if store.organization_get(known).await.map_err(failed)?.is_some() => known,
            _ => heir,
        };
        let looked = host.clone();
        let name = order.id.clone();
        let seen = tokio::task::spawn_blocking(move || looked.observe(&name)).await;
        let runs = matches!(seen, Ok(Ok(look)) if look.presence == Presence::Started);
        let row = row(&order, id, known, runs, clock, random);
        store.sandbox_insert(&row).await.map_err(failed)?;
        warn!(sandbox.id = %id, "sandbox {id} was on this host and unknown to the database: it has a row again");
    }
    Ok(())
}

fn row(
    order: &Spec,
    id: SandboxId,
    organization_id: OrganizationId,
    runs: bool,
    clock: &dyn Clock,
    random: &dyn Random,
) -> Sandbox {
    let whole = |amount: u64| u32::try_from(amount).unwrap_or(u32::MAX);
    Sandbox {
        snapshot: order.snapshot.clone(),
        image: order.image.clone(),
        region: order.region.clone(),
        user: order.user.clone(),
        env: order.environment.iter().cloned().collect(),
        network: order.network(),
        resources: Resources {
            cpu: order.cpu_thousandths.div_ceil(1000),
            gpu: 0,
            memory_gib: whole(order.memory_bytes.div_ceil(GIBIBYTE)),
            disk_gib: whole(order.disk_bytes.div_ceil(GIBIBYTE)),
        },
        // Nobody said that it may stop by itself; it never goes by itself.
        intervals: Intervals { auto_stop: 0, ..Intervals::default() },
        desired: if runs { Desired::Started } else { Desired::Stopped },
        observed: Observed::Unknown,
        // It ran: were its files to vanish, an empty one must not be made in its place.
        daemon_version: Some(String::new()),
        ..Sandbox::new(id, organization_id, random, clock.now())
    }
}
