//! One sandbox: what was ordered, where its files are, and how a process in a box is made of both.

pub mod spec;
pub mod undo;
pub mod disk;
pub mod condition;
mod parts;
pub mod init;
