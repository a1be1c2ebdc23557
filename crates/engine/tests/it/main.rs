//! The engine over a real store and a fake runner.

#![cfg(test)]

mod house;
mod plan;
mod convergence;
mod build;
mod life;
mod due;
mod timer;
mod kin;
mod leftovers;
mod deadline;
mod failure;
mod restart;
mod waiting;
mod warm;
