//! Warm pools in the contract's shape.

use std::collections::BTreeMap;

use daytona_wire::api::warm_pool as wire;
use types::warm_pool::WarmPool;

use crate::moment;
use crate::view::sandbox::IMAGE_USER;

/// Shows a pool of which `ready` sandboxes can be taken.
pub(crate) fn pool(pool: WarmPool, ready: u32) -> wire::WarmPool {
    wire::WarmPool {
        id: pool.id.to_string(),
        organization_id: pool.organization_id.to_string(),
        snapshot: pool.snapshot,
        target: pool.region,
        pool: pool.size,
        current_size: ready,
        cpu: pool.resources.cpu,
        mem: pool.resources.memory_gib,
        disk: pool.resources.disk_gib,
        os_user: IMAGE_USER.to_owned(),
        env: BTreeMap::new(),
        error_reason: pool.error_reason,
        created_at: moment::write(pool.created_at),
        updated_at: moment::write(pool.updated_at),
    }
}
