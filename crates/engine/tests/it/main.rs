//! The engine over a real store and a fake runner.

mod house;
mod plan;
mod convergence;
mod failure;
mod restart;
mod waiting;
