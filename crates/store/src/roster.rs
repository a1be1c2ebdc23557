//! What lists filter and order by, of every sandbox, in memory: no set of indexes serves every filter with every order,
//! and a scan of so many rows by the database takes many times as long as the contract's clients are to wait.
//!
//! Every write of this process passes here, and there is one process for a database file.

mod texts;
mod kept;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::OnceCell;
use types::resource::Resources;
use types::sandbox::{Desired, Observed, Sandbox};
use types::{OrganizationId, SandboxId, Timestamp};

use crate::roster::kept::Kept;
use crate::roster::texts::Texts;
use crate::standing::Standings;

/// What a list sees of a sandbox.
#[expect(clippy::struct_excessive_bools, reason = "what filters ask for: each is a fact of its own")]
#[derive(Debug, Clone)]
pub(crate) struct Face {
    pub(crate) id: SandboxId,
    pub(crate) name: Box<str>,
    pub(crate) labels: Box<[(Arc<str>, Arc<str>)]>,
    pub(crate) snapshot: Arc<str>,
    pub(crate) region: Arc<str>,
    /// The contract's word for its state.
    pub(crate) state: &'static str,
    /// Its removal failed.
    pub(crate) errored_deleted: bool,
    pub(crate) resources: Resources,
    pub(crate) public: bool,
    /// It waits in a warm pool.
    pub(crate) is_warm: bool,
    pub(crate) recoverable: bool,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) last_activity_at: Timestamp,
    pub(crate) destroy_at: Option<Timestamp>,
    /// Of the row that this was taken from: what was written earlier and comes later is passed over.
    pub(crate) generation: i64,
}

impl Face {
    fn of(sandbox: &Sandbox, texts: &mut Texts) -> Self {
        let labels = sandbox.labels.iter().map(|(key, value)| (texts.keep(key), texts.keep(value)));
        Self {
            id: sandbox.id,
            name: sandbox.name.as_str().into(),
            labels: labels.collect(),
            snapshot: texts.keep(&sandbox.snapshot),
            region: texts.keep(&sandbox.region),
            state: sandbox.reported(),
            errored_deleted: (sandbox.desired, sandbox.observed) == (Desired::Destroyed, Observed::Error),
            resources: sandbox.resources,
            public: sandbox.public,
            is_warm: sandbox.warm_pool_id.is_some(),
            recoverable: sandbox.recoverable,
            created_at: sandbox.created_at,
            updated_at: sandbox.updated_at,
            last_activity_at: sandbox.last_activity_at,
            destroy_at: sandbox.destroy_at,
            generation: sandbox.generation,
        }
    }
}

/// The faces of one organisation, side by side, so that a scan runs through memory in order.
#[derive(Debug, Default)]
pub(crate) struct Faces {
    all: Vec<Face>,
    places: HashMap<SandboxId, usize>,
    texts: Texts,
    /// Those that left while the rows were being read: a row read before must not bring them back.
    gone: HashSet<SandboxId>,
    /// When those were used that were used while the rows were being read.
    early: HashMap<SandboxId, Timestamp>,
    is_loaded: bool,
}

impl Faces {
    pub(crate) fn all(&self) -> &[Face] {
        &self.all
    }

    /// Returns the copy of a text that every face has that has such a text; `None` when none has it.
    pub(crate) fn text(&self, text: &str) -> Option<&Arc<str>> {
        self.texts.find(text)
    }

    fn note(&mut self, sandbox: &Sandbox) {
        if sandbox.observed == Observed::Destroyed {
            self.remove(sandbox.id);
        } else if !self.gone.contains(&sandbox.id) {
            let face = Face::of(sandbox, &mut self.texts);
            self.put(face);
        }
    }

    fn put(&mut self, mut face: Face) {
        match self.places.entry(face.id) {
            Entry::Vacant(place) => {
                place.insert(self.all.len());
                self.all.push(face);
            }
            Entry::Occupied(place) => {
                let Some(known) = self.all.get_mut(*place.get()) else { return };
                // Activity is a fact of its own that no row takes back.
                face.last_activity_at = face.last_activity_at.max(known.last_activity_at);
                if known.generation <= face.generation {
                    *known = face;
                }
            }
        }
    }

    fn remove(&mut self, id: SandboxId) {
        if !self.is_loaded {
            self.gone.insert(id);
        }
        let Some(place) = self.places.remove(&id) else { return };
        self.all.swap_remove(place);
        if let Some(moved) = self.all.get(place) {
            self.places.insert(moved.id, place);
        }
    }

    fn touch(&mut self, id: SandboxId, at: Timestamp) {
        let face = self.places.get(&id).and_then(|place| self.all.get_mut(*place));
        match face {
            Some(face) => face.last_activity_at = face.last_activity_at.max(at),
            // Its row may have been read already, and not noted yet.
            None if !self.is_loaded => {
                let early = self.early.entry(id).or_insert(at);
                *early = at.max(*early);
            }
            None => {}
        }
    }
}

/// One organisation's faces, from the first time that it is listed.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    faces: RwLock<Faces>,
    /// Set once every row was read. What is written meanwhile is noted too.
    pub(crate) loaded: OnceCell<()>,
}

impl Ledger {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Faces> {
        self.faces.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Faces> {
        self.faces.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn len(&self) -> usize {
        self.read().all.len()
    }

    /// Notes rows that were read.
    pub(crate) fn note_all<'row>(&self, rows: impl Iterator<Item = &'row Sandbox>) {
        let mut faces = self.write();
        for row in rows {
            faces.note(row);
        }
    }

    /// Notes that every row was read.
    pub(crate) fn finish_loading(&self) {
        let mut faces = self.write();
        faces.is_loaded = true;
        faces.gone = HashSet::new();
        for (id, at) in std::mem::take(&mut faces.early) {
            faces.touch(id, at);
        }
    }
}

/// The ledgers of the organisations that were listed.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    ledgers: RwLock<HashMap<OrganizationId, Arc<Ledger>>>,
    /// Rows that were shown lately.
    pub(crate) kept: Kept,
    /// Sandboxes whose last write nobody saw the end of; their rows are to be read again before the next list.
    doubtful: Mutex<HashSet<SandboxId>>,
}

impl Roster {
    fn find(&self, organization: OrganizationId) -> Option<Arc<Ledger>> {
        self.ledgers.read().unwrap_or_else(PoisonError::into_inner).get(&organization).cloned()
    }

    /// Returns the ledger of an organisation. From the first call on it notes what is written.
    pub(crate) fn open(&self, organization: OrganizationId) -> Arc<Ledger> {
        if let Some(ledger) = self.find(organization) {
            return ledger;
        }
        let mut ledgers = self.ledgers.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(ledgers.entry(organization).or_default())
    }

    /// Notes a row as it was written.
    pub(crate) fn note(&self, sandbox: &Sandbox) {
        if let Some(ledger) = self.find(sandbox.organization_id) {
            ledger.write().note(sandbox);
        }
    }

    /// Notes that a sandbox was used.
    pub(crate) fn touch(&self, organization: OrganizationId, id: SandboxId, at: Timestamp) {
        if let Some(ledger) = self.find(organization) {
            ledger.write().touch(id, at);
        }
    }

    /// Lets a sandbox go that has no row, whoever owned it.
    pub(crate) fn forget(&self, id: SandboxId) {
        let ledgers = self.ledgers.read().unwrap_or_else(PoisonError::into_inner);
        for ledger in ledgers.values() {
            ledger.write().remove(id);
        }
    }

    /// Begins a write. Unless its end is seen, the row is read again before the next list: whoever waited for the write may
    /// have gone, and the database does it all the same.
    pub(crate) fn write<'store>(
        &'store self,
        id: SandboxId,
        standings: Option<&'store Standings>,
    ) -> Writing<'store> {
        Writing { roster: self, standings, id, is_ended: false }
    }

    /// Takes the sandboxes whose rows are to be read again.
    pub(crate) fn take_doubtful(&self) -> HashSet<SandboxId> {
        std::mem::take(&mut *self.doubtful())
    }

    fn doubtful(&self) -> MutexGuard<'_, HashSet<SandboxId>> {
        self.doubtful.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A write under way.
#[derive(Debug)]
pub(crate) struct Writing<'roster> {
    roster: &'roster Roster,
    /// Where it is forgotten too, when the write changes what is remembered there.
    standings: Option<&'roster Standings>,
    id: SandboxId,
    is_ended: bool,
}

impl Writing<'_> {
    /// Tells that the end of the write was seen.
    pub(crate) fn end(mut self) {
        self.is_ended = true;
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if !self.is_ended {
            self.roster.doubtful().insert(self.id);
            if let Some(standings) = self.standings {
                standings.abandoned(self.id);
            }
        }
    }
}
