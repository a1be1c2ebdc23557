//! Which system calls a sandbox may make (seccomp(2)); the policy itself is data.

use std::collections::HashMap;

use seccompiler::{BpfProgram, TargetArch};

use crate::errno::{CallError, Context as _, checked};

/// A compiled policy, ready to be installed in any number of processes.
#[derive(Debug, Clone)]
pub struct Filter {
    programs: Vec<BpfProgram>,
}

/// The policy file does not compile.
#[derive(Debug, thiserror::Error)]
#[error("compile seccomp policy")]
pub struct PolicyError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl Filter {
    /// Compiles the filters named in `order` from a policy document; the last one wins where two refuse a call.
    pub fn compile(policy: &str, order: &[&str]) -> Result<Self, PolicyError> {
        let architecture =
            TargetArch::try_from(std::env::consts::ARCH).map_err(|error| PolicyError(error.into()))?;
        let mut compiled: HashMap<String, BpfProgram> =
            seccompiler::compile_from_json(policy.as_bytes(), architecture)
                .map_err(|error| PolicyError(error.into()))?;
        let programs = order.iter().map(|name| {
            compiled
                .remove(*name)
                .ok_or_else(|| PolicyError(format!("the policy has no filter `{name}`").into()))
        });
        Ok(Self { programs: programs.collect::<Result<_, _>>()? })
    }

    /// Installs the policy in this thread and all that it will execute. Needs `CAP_SYS_ADMIN` in the user namespace,
    /// since setting no-new-privileges instead would break `sudo` inside.
    pub fn install(&self) -> Result<(), CallError> {
        for program in &self.programs {
            let length =
                u16::try_from(program.len()).map_err(std::io::Error::other).context("seccomp", "length")?;
            let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
            // SAFETY: `program` points to `length` instructions that outlive the call; seccompiler's instruction
            // has the kernel's layout.
            let result = unsafe {
                libc::syscall(
                    libc::SYS_seccomp,
                    libc::SECCOMP_SET_MODE_FILTER,
                    0,
                    std::ptr::from_ref(&program),
                )
            };
            checked(result).context("seccomp", "SECCOMP_SET_MODE_FILTER")?;
        }
        Ok(())
    }
}
