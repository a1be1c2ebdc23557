//! The store over a real database file, one per test.

#![cfg(test)]

mod database;
mod tenant;
mod sandbox;
mod list;
mod paging;
mod kept;
mod quota;
mod changes;
