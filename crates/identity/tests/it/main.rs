//! Tokens judged with the keys of a login provider that listens on a port.

#![cfg(test)]

mod judge;
mod keys;
