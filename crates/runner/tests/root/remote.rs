//! Images that come from a real registry and go to one: what is unpacked is what another tool unpacks.

mod ground;
mod pull;
mod push;
mod harm;
mod kill;
mod room;
