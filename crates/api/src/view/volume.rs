//! Volumes in the contract's shape.

use daytona_wire::api::sandbox::SandboxVolume;
use daytona_wire::api::volume as wire;
use types::volume::{Volume, VolumeMount};

use crate::moment;

/// Shows a volume.
pub(crate) fn volume(volume: Volume) -> wire::VolumeDto {
    wire::VolumeDto {
        id: volume.id.to_string(),
        name: volume.name,
        organization_id: volume.organization_id.to_string(),
        state: volume.state.as_str().to_owned(),
        created_at: moment::write(volume.created_at),
        updated_at: moment::write(volume.updated_at),
        last_used_at: volume.last_used_at.map(moment::write),
        error_reason: volume.error_reason,
    }
}

/// Shows where a sandbox has a volume.
pub(crate) fn mount(mount: VolumeMount) -> SandboxVolume {
    SandboxVolume {
        volume_id: mount.volume_id.to_string(),
        mount_path: mount.path,
        subpath: mount.subpath,
        read_only: mount.is_read_only,
    }
}
