//! The engine over a real store and a fake runner.

#![cfg(test)]

mod house;
mod plan;
mod convergence;
mod failure;
mod restart;
mod waiting;
