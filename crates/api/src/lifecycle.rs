//! What may be asked of a sandbox, and when: pure. One file per kind of wish.

pub(crate) mod power;
pub(crate) mod copy;
pub(crate) mod timer;
#[cfg(test)]
mod tests;
