//! The whole product as one process, on the real kernel: what it leaves behind, and what survives it.

mod serving;
mod leak;
mod restart;
