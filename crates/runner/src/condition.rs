//! What a sandbox has run into.

use types::inspection::Condition;

use crate::error::RunnerError;
use crate::host::Host;
use crate::sandbox::condition;

impl Host {
    /// Tells what a sandbox has run into since it started; of one that does not run there is nothing to tell.
    pub fn conditions(&self, id: &str) -> Result<Vec<Condition>, RunnerError> {
        let found = self.table.with(id, |entry| {
            let Some(record) = entry.record.as_ref().filter(|_| entry.alive()) else { return Ok(Vec::new()) };
            let mut conditions = condition::of_group(&self.ground.group(entry.index), &record.spec);
            conditions.extend(record.process.and_then(|process| condition::of_disk(process.pid)));
            Ok(conditions)
        })?;
        Ok(found.unwrap_or_default())
    }
}
