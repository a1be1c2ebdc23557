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

/// A system call as a filter sees it (`struct seccomp_data`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Its number, in the table of its architecture.
    pub number: u32,
    /// The table, as `AUDIT_ARCH_*`.
    pub architecture: u32,
    /// Its operands.
    pub arguments: [u64; 6],
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The kernel carries it out.
    Allow,
    /// It fails with this error.
    Refuse {
        /// The `errno` that the caller sees.
        errno: i32,
    },
    /// The whole process ends.
    Kill,
}

/// The table of 64-bit calls on x86-64 (`AUDIT_ARCH_X86_64`).
pub const X86_64: u32 = 0xC000_003E;
/// The table of 32-bit calls on the same machine (`AUDIT_ARCH_I386`), reached by `int 0x80`.
pub const I386: u32 = 0x4000_0003;
/// Marks a call of the x32 table, which shares its architecture with the 64-bit one.
pub const X32_BIT: u32 = 0x4000_0000;

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

    /// Says what becomes of a call under this policy, as the kernel would: every program is asked, the strictest answer
    /// counts, and of equally strict ones that of the program installed last.
    pub fn verdict(&self, call: &Call) -> Verdict {
        let mut strictest = libc::SECCOMP_RET_ALLOW;
        for program in self.programs.iter().rev() {
            let answer = evaluate(program, call);
            // The kernel compares the actions as signed numbers, so that killing is the least of all.
            let rank = |answer: u32| (answer & libc::SECCOMP_RET_ACTION_FULL).cast_signed();
            if rank(answer) < rank(strictest) {
                strictest = answer;
            }
        }
        match strictest & libc::SECCOMP_RET_ACTION_FULL {
            libc::SECCOMP_RET_ALLOW => Verdict::Allow,
            libc::SECCOMP_RET_ERRNO => {
                Verdict::Refuse { errno: i32::try_from(strictest & libc::SECCOMP_RET_DATA).unwrap_or(0) }
            }
            _ => Verdict::Kill,
        }
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

/// Runs one program over a call. What does not end in an answer kills: the kernel would not have taken it.
fn evaluate(program: &BpfProgram, call: &Call) -> u32 {
    let mut accumulator: u32 = 0;
    let mut at = 0;
    while let Some(instruction) = program.get(at) {
        at += 1;
        let operand = instruction.k;
        let mut jump = |taken: bool| at += usize::from(if taken { instruction.jt } else { instruction.jf });
        match u32::from(instruction.code) {
            code if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                let Some(word) = call.word(operand) else { return libc::SECCOMP_RET_KILL_PROCESS };
                accumulator = word;
            }
            code if code == libc::BPF_ALU | libc::BPF_AND | libc::BPF_K => accumulator &= operand,
            code if code == libc::BPF_JMP | libc::BPF_JA => {
                at += usize::try_from(operand).unwrap_or(usize::MAX / 2);
            }
            code if code == libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K => jump(accumulator == operand),
            code if code == libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K => jump(accumulator > operand),
            code if code == libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K => jump(accumulator >= operand),
            code if code == libc::BPF_RET | libc::BPF_K => return operand,
            _ => return libc::SECCOMP_RET_KILL_PROCESS,
        }
    }
    libc::SECCOMP_RET_KILL_PROCESS
}

impl Call {
    /// Returns the 32 bits at `offset` of `struct seccomp_data`: number, architecture, instruction pointer, operands,
    /// on a little-endian machine.
    fn word(&self, offset: u32) -> Option<u32> {
        let half = |value: u64, high: bool| {
            let value = if high { value >> 32 } else { value & u64::from(u32::MAX) };
            u32::try_from(value).ok()
        };
        match offset {
            0 => Some(self.number),
            4 => Some(self.architecture),
            8 | 12 => Some(0),
            16.. if offset.is_multiple_of(4) => {
                let index = usize::try_from((offset - 16) / 8).ok()?;
                half(*self.arguments.get(index)?, !offset.is_multiple_of(8))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"{
        "known": {"mismatch_action": {"errno": 38}, "match_action": "allow", "filter": [
            {"syscall": "getpid"}, {"syscall": "mount"}, {"syscall": "unshare"}, {"syscall": "socket"}]},
        "refused": {"mismatch_action": "allow", "match_action": {"errno": 1}, "filter": [
            {"syscall": "mount"},
            {"syscall": "unshare", "args": [
                {"index": 0, "type": "qword", "op": {"masked_eq": 268435456}, "val": 268435456}]},
            {"syscall": "socket", "args": [
                {"index": 0, "type": "dword", "op": "ne", "val": 1}, {"index": 0, "type": "dword", "op": "ne", "val": 2}]}]}
    }"#;

    #[test]
    fn the_policy_is_read_as_the_kernel_reads_it() {
        let filter = Filter::compile(POLICY, &["known", "refused"]).unwrap();
        let ask = |number: i64, first: u64, architecture: u32| {
            let number = u32::try_from(number).unwrap();
            filter.verdict(&Call { number, architecture, arguments: [first, 0, 0, 0, 0, 0] })
        };
        let eperm = Verdict::Refuse { errno: libc::EPERM };
        let enosys = Verdict::Refuse { errno: libc::ENOSYS };
        assert_eq!(ask(libc::SYS_getpid, 0, X86_64), Verdict::Allow);
        assert_eq!(ask(libc::SYS_mount, 0, X86_64), eperm);
        assert_eq!(ask(libc::SYS_bpf, 0, X86_64), enosys);
        assert_eq!(ask(libc::SYS_unshare, 0x1000_0000, X86_64), eperm);
        assert_eq!(ask(libc::SYS_unshare, 0x1000_0400, X86_64), eperm, "among other flags");
        assert_eq!(ask(libc::SYS_unshare, 0x400, X86_64), Verdict::Allow);
        for (family, verdict) in [(1, Verdict::Allow), (2, Verdict::Allow), (40, eperm)] {
            assert_eq!(ask(libc::SYS_socket, family, X86_64), verdict, "{family}");
        }
        // The kernel reads 32 bits of a family: what lies above must not make another of it.
        assert_eq!(ask(libc::SYS_socket, (1 << 32) | 0x1, X86_64), Verdict::Allow);
        assert_eq!(ask(libc::SYS_socket, (1 << 32) | 0x28, X86_64), eperm);
        assert_eq!(ask(libc::SYS_getpid, 0, I386), Verdict::Kill);
        assert_eq!(ask(libc::SYS_getpid | i64::from(X32_BIT), 0, X86_64), enosys);
    }

    #[test]
    fn a_policy_without_the_filter_is_refused() {
        assert!(Filter::compile(POLICY, &["missing"]).is_err());
        assert!(Filter::compile("{", &[]).is_err());
    }
}
