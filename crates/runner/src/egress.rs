//! What sandboxes may reach, and what became of what they tried.

use types::egress::Egress;
use types::sandbox::Network;

use crate::error::RunnerError;
use crate::host::Host;
use crate::net::NetError;
use crate::place;
use crate::table::Entry;

impl Host {
    /// Tells what became of the packets and names that a sandbox asked for since it was last started.
    pub fn egress(&self, id: &str) -> Result<Egress, RunnerError> {
        let failed = |source: NetError| RunnerError::Network { id: id.to_owned(), source };
        self.with(id, |entry| self.ground.network.egress(entry.index).map_err(failed))
    }

    /// Changes what a sandbox may reach, now and for its next start.
    pub fn set_network(&self, id: &str, network: &Network) -> Result<(), RunnerError> {
        self.with(id, |entry| self.set_network_of(entry, network))
    }

    /// The same for a sandbox whose entry the caller holds.
    pub(crate) fn set_network_of(&self, entry: &mut Entry, network: &Network) -> Result<(), RunnerError> {
        let alive = entry.alive();
        let Entry { home, record, index, .. } = entry;
        let missing = || RunnerError::Missing { id: place::group_name(*index) };
        let mut changed = record.clone().ok_or_else(missing)?;
        let id = changed.spec.id.clone();
        // Written first: after a crash in between the next start of the server puts it in force.
        changed.spec.set_network(network);
        home.save(&changed)?;
        *record = Some(changed);
        if alive {
            let admitted = self.ground.network.admit(&id, *index, network);
            admitted.map_err(|source| RunnerError::Network { id, source })?;
        }
        Ok(())
    }
}
