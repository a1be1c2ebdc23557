//! Who is on this host by its own records, for a control plane that has lost its own.

use std::path::Path;
use std::str::FromStr as _;

use fs_err as fs;
use types::SandboxId;

use crate::sandbox::spec::{RECORD_FILE, Record, Spec};

/// Reads the orders of all sandboxes below `data_directory` whose record can be read. Works beside a running host, and
/// before one: nothing is changed.
pub fn read(data_directory: &Path) -> Vec<Spec> {
    let Ok(entries) = fs::read_dir(data_directory.join("sandboxes")) else { return Vec::new() };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let ids = ids.filter(|id| SandboxId::from_str(id).is_ok());
    let record = |id: String| {
        let path = data_directory.join("sandboxes").join(&id).join(RECORD_FILE);
        let record: Record = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        (record.spec.id == id).then_some(record.spec)
    };
    ids.filter_map(record).collect()
}
