//! Attacks from inside, as root, with raw system calls: each must fail, and each says how it fails.

mod attack;
mod call;
mod reach;
mod image;
mod probe;
mod ending;
