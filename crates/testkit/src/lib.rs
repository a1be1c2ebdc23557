//! Doubles and builders for `tests/it` only: time that moves by hand, a runner in memory, the real router without root
//! and without a network.
//!
//! Must not know: any one test. Start at [`app::TestApi`].
#![forbid(unsafe_code)]

pub mod census;
pub mod request;
pub mod rootfs;
pub mod docker_registry;
pub mod syscall;
pub mod clock;
pub mod issuer;
pub mod fake_runner;
pub mod sample;
pub mod app;

pub use app::{Answer, TestApi};
pub use clock::TestClock;
pub use fake_runner::{Call, FakeRunner};
pub use issuer::Issuer;
