//! The commands that a session remembers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::session::command::Command;

/// How many commands that have ended are remembered.
const ENDED: usize = 200;

/// Commands, the oldest first.
#[derive(Debug, Default)]
pub struct Roster(Mutex<Vec<Arc<Command>>>);

impl Roster {
    /// Adds one; the oldest that has ended is forgotten when there are too many.
    pub fn add(&self, command: Arc<Command>) {
        let mut commands = self.commands();
        let has_ended = |command: &Arc<Command>| command.exit_code().is_some();
        if commands.iter().filter(|command| has_ended(command)).count() >= ENDED
            && let Some(oldest) = commands.iter().position(has_ended)
        {
            commands.remove(oldest).log.clear(true);
        }
        commands.push(command);
    }

    /// Returns one of them.
    pub fn get(&self, id: &str) -> Option<Arc<Command>> {
        self.commands().iter().find(|command| command.id == id).cloned()
    }

    /// Returns all of them.
    pub fn list(&self) -> Vec<Arc<Command>> {
        self.commands().clone()
    }

    /// Forgets all of them; whoever is reading one goes on.
    pub fn clear(&self) {
        self.commands().clear();
    }

    fn commands(&self) -> MutexGuard<'_, Vec<Arc<Command>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_that_run_are_never_forgotten() {
        let roster = Roster::default();
        let new = |id: usize| Arc::new(Command::new(id.to_string(), "", false, false, &Arc::default()));
        roster.add(new(0));
        for id in 1..=ENDED + 5 {
            let command = new(id);
            roster.add(Arc::clone(&command));
            command.end(0).await;
        }
        assert_eq!(roster.list().len(), ENDED + 1);
        assert!(roster.get("0").is_some() && roster.get("5").is_none() && roster.get("6").is_some());
    }
}
