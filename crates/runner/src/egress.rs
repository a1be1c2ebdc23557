//! What sandboxes may reach, and what became of what they tried.

use types::egress::Egress;
use types::sandbox::Network;

use crate::error::RunnerError;
use crate::host::Host;
use crate::net::NetError;
use crate::table::Entry;

impl Host {
    /// Tells what became of the packets and names that a sandbox asked for since it was last started.
    pub fn egress(&self, id: &str) -> Result<Egress, RunnerError> {
        let failed = |source: NetError| RunnerError::Network { id: id.to_owned(), source };
        self.with(id, |entry| self.ground.network.egress(entry.index).map_err(failed))
    }

    /// Changes what a sandbox may reach, now and for its next start.
    pub fn set_network(&self, id: &str, network: &Network) -> Result<(), RunnerError> {
        self.with(id, |entry| self.set_network_of(id, entry, network))
    }

    /// The same for a sandbox whose entry the caller holds.
    pub(crate) fn set_network_of(
        &self,
        id: &str,
        entry: &mut Entry,
        network: &Network,
    ) -> Result<(), RunnerError> {
        let missing = || RunnerError::Missing { id: id.to_owned() };
        let mut record = entry.record.clone().ok_or_else(missing)?;
        // Written first: after a crash in between the next start of the server puts it in force.
        record.spec.set_network(network);
        entry.keep(record)?;
        if entry.alive() {
            let admitted = self.ground.network.admit(id, entry.index, network);
            admitted.map_err(|source| RunnerError::Network { id: id.to_owned(), source })?;
        }
        Ok(())
    }
}
