//! Sandboxes that are linked: they reach each other, by address and by name, and nobody else is let in.
//!
//! A link is in force while both run. It comes with the start of the second and goes with the end of the first; after a
//! restart of the server the records say who is linked.

use crate::error::RunnerError;
use crate::host::Host;

impl Host {
    /// Changes what a sandbox is called and the sandbox of its organization that it is linked to, now and for its next
    /// start.
    pub fn set_link(&self, id: &str, name: &str, linked: Option<&str>) -> Result<(), RunnerError> {
        self.with(id, |entry| {
            let record = entry.record.clone();
            let mut record = record.ok_or_else(|| RunnerError::Missing { id: id.to_owned() })?;
            let before = record.spec.membership();
            name.clone_into(&mut record.spec.name);
            record.spec.linked = linked.map(str::to_owned);
            let membership = record.spec.membership();
            if membership == before {
                return Ok(());
            }
            // Written first: after a crash in between the next start of the server puts it in force.
            entry.keep(record)?;
            if entry.alive() {
                let joined = self.ground.network.join(entry.index, &membership);
                joined.map_err(|source| RunnerError::Network { id: id.to_owned(), source })?;
            }
            Ok(())
        })
    }
}
