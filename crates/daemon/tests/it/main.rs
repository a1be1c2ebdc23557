//! Drives the real program over its real socket, as whoever runs the tests.

#![cfg(test)]

mod harness;
mod git_server;
mod operation;
mod execute;
mod timeout;
mod code;
mod interpreter;
mod interpreter_end;
mod file;
mod upload;
mod download;
mod user;
mod life;
mod session;
mod session_log;
mod session_end;
mod language_server;
mod port;
mod terminal;
mod shell;
mod repository;
mod repository_remote;
mod repository_hostile;
mod repository_path;
