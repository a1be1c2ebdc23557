//! Git operations as plain functions, for a process that does one and ends.
//!
//! Must not know: HTTP as a server, the daemon, users. Whoever calls it acts as the user already.
//!
//! Start at [`worker`]: it reads one job, does it, and prints one answer. Objects, index and files are libgit2's work;
//! what travels over HTTP is ours ([`client`], [`mod@fetch`], [`mod@push`]), because credentials, redirects and certificates
//! are. Nothing here starts a program: no hook, helper, filter or pager of a repository ever runs.
#![forbid(unsafe_code)]

pub mod error;
pub mod credential;
pub mod location;
pub mod repository;
pub mod setting;
pub mod store;
pub mod network;
pub mod client;
pub mod packet;
pub mod advertisement;
pub mod fetch;
pub mod push;
pub mod remote;
pub mod status;
pub mod branch;
pub mod checkout;
pub mod stage;
pub mod reset;
pub mod commit;
pub mod clone;
pub mod pull;
pub mod publish;
pub mod worker;
