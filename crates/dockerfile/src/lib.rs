//! What a Dockerfile says: instructions, stages, variables, and the steps that a build takes. Pure.
#![forbid(unsafe_code)]
