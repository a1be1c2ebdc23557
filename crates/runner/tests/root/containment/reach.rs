//! What the sandbox is not let near: the host's processes, files, devices, kernel settings and sockets; the daemon; and
//! other sandboxes.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use super::attack::Arena;
use super::call::number;
use crate::ground::{explain, order};

const EPERM: i64 = -1;
const ENOENT: i64 = -2;
const ESRCH: i64 = -3;
const EACCES: i64 = -13;
const EROFS: i64 = -30;
const ECONNREFUSED: i64 = -111;

/// Writes calls by name: `mknod @/tmp/d 25008 2048` and, joined by ` ; `, more of them.
fn spell(calls: &str) -> String {
    let spelled = calls.split(" ; ").map(|call| {
        let (name, operands) = call.split_once(' ').unwrap_or((call, ""));
        format!("64 {} {operands}", number(name))
    });
    spelled.collect::<Vec<_>>().join(" ; ")
}

/// Makes every row's calls; the last call of a row must fail with one of its errors.
fn all_fail(arena: &Arena, rows: &[(String, &[i64])]) {
    let lines: Vec<String> =
        rows.iter().enumerate().map(|(at, (calls, _))| format!("{at}: {}", spell(calls))).collect();
    let answers = arena.attempt(&lines);
    for (at, (calls, errors)) in rows.iter().enumerate() {
        let answer = answers.get(&at.to_string()).unwrap();
        let last = answer.rsplit(',').next().and_then(|last| last.parse::<i64>().ok());
        assert!(last.is_some_and(|last| errors.contains(&last)), "{calls}: {answer}, not in {errors:?}");
    }
}

fn rows(table: &[(&str, &'static [i64])]) -> Vec<(String, &'static [i64])> {
    table.iter().map(|(calls, errors)| ((*calls).to_owned(), *errors)).collect()
}

/// Writes a socket's address as the 32-bit words that the program takes.
fn address_of(abstract_name: &str) -> (String, usize) {
    let mut bytes = vec![1, 0, 0];
    bytes.extend(abstract_name.as_bytes());
    let length = bytes.len();
    bytes.resize(length.next_multiple_of(4), 0);
    let words: Vec<String> =
        bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()).to_string()).collect();
    (format!("%{}", words.join(",")), length)
}

#[test]
fn devices_of_the_host_cannot_be_made_or_opened() {
    let arena = Arena::new();
    let mut table = Vec::new();
    // Type and mode, then major and minor: the first disk, memory, kernel memory, a loop device and their control,
    // FUSE, KVM, the kernel's log, a terminal of the host.
    for (mode, major, minor) in [
        (0o060_666, 8, 0),
        (0o060_666, 254, 0),
        (0o020_666, 1, 1),
        (0o020_666, 1, 2),
        (0o060_666, 7, 0),
        (0o020_666, 10, 237),
        (0o020_666, 10, 229),
        (0o020_666, 10, 232),
        (0o020_666, 1, 11),
        (0o020_666, 4, 1),
    ] {
        let device = major << 8 | minor;
        for directory in ["/tmp", "/dev", "/dev/shm"] {
            table.push((format!("mknod @{directory}/node {mode} {device}"), &[EPERM][..]));
        }
    }
    for device in [
        "mem",
        "kmem",
        "port",
        "kmsg",
        "loop0",
        "loop-control",
        "fuse",
        "kvm",
        "vda",
        "sda",
        "vhost-net",
        "net/tun",
        "mapper/control",
        "snapshot",
        "userfaultfd",
        "console",
        "tty1",
        "vsock",
        "cpu/0/msr",
    ] {
        table.push((format!("open @/dev/{device} 2"), &[ENOENT][..]));
    }
    all_fail(&arena, &table);
}

#[test]
fn an_image_cannot_bring_devices() {
    use tar::{EntryType, Header};
    let arena = Arena::new();
    let archive = testkit::rootfs::tiny_with(arena.ground.home.path(), "devices", |archive| {
        for (path, kind, major, minor) in [
            ("dev/mem", EntryType::Char, 1, 1),
            ("disk", EntryType::Block, 254, 0),
            ("tmp/fuse", EntryType::Char, 10, 229),
            ("home/whiteout", EntryType::Char, 0, 0),
        ] {
            let mut header = Header::new_gnu();
            header.set_path(path)?;
            header.set_entry_type(kind);
            header.set_mode(0o666);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(0);
            header.set_device_major(major)?;
            header.set_device_minor(minor)?;
            header.set_cksum();
            archive.append(&header, std::io::empty())?;
        }
        Ok(())
    });
    crate::ground::import(arena.ground.host(), &archive.unwrap(), "devices");
    let spec = runner::sandbox::spec::Spec { image: "devices".to_owned(), ..order() };
    arena.ground.host().create(&spec).map_err(explain).unwrap();
    for path in ["/dev/mem", "/disk", "/tmp/fuse", "/home/whiteout"] {
        assert_eq!(
            arena.ground.execute(&spec.id, &format!("test -e {path} || echo none")).1,
            "none",
            "{path}"
        );
    }
}

#[test]
fn settings_of_the_kernel_cannot_be_written() {
    let arena = Arena::new();
    let mut table = Vec::new();
    for path in [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/kernel/panic",
        "/proc/sys/kernel/hostname",
        "/proc/sys/fs/binfmt_misc/register",
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sys/user/max_user_namespaces",
        "/proc/irq/default_smp_affinity",
        "/sys/kernel/uevent_helper",
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "/sys/power/state",
        "/sys/module/kernel/parameters/panic",
        "/sys/fs/cgroup/release_agent",
    ] {
        for flags in [1, 2, 0x201] {
            table.push((format!("open @{path} {flags}"), &[EACCES, EROFS, ENOENT, EPERM][..]));
        }
    }
    // Masked: what is written goes nowhere, what is read is nothing.
    let masked = [
        "/proc/kcore",
        "/proc/kmsg",
        "/proc/keys",
        "/proc/key-users",
        "/proc/sysrq-trigger",
        "/proc/timer_list",
    ];
    all_fail(&arena, &table);
    let lines: Vec<String> = masked
        .iter()
        .map(|path| format!("{path}: {}", spell(&format!("open @{path} 0 ; read $0 &64 64"))))
        .collect();
    for (path, answer) in arena.attempt(&lines) {
        let read = answer.rsplit(',').next().unwrap();
        assert!(read == "0" || answer.starts_with('-'), "{path} tells something: {answer}");
    }
}

#[test]
fn the_host_and_its_kernel_tell_nothing_of_themselves() {
    let arena = Arena::new();
    // No address of the kernel, whatever the host's `kptr_restrict` says.
    let (_, symbols) = arena.execute("cat /proc/kallsyms 2>/dev/null | head -n 2000");
    for line in symbols.lines() {
        let address = line.split(' ').next().unwrap();
        assert!(address.bytes().all(|digit| digit == b'0'), "{line}");
    }
    for path in [
        "/sys/firmware/*",
        "/sys/firmware/*/*",
        "/sys/class/dmi/*",
        "/sys/devices/virtual/dmi/*",
        "/proc/acpi/*",
        "/proc/scsi/*",
        "/sys/kernel/security/*",
        "/sys/kernel/debug/*",
        "/sys/kernel/tracing/*",
        "/sys/fs/bpf/*",
        "/sys/fs/cgroup/*",
        "/proc/vmallocinfo",
        "/proc/slabinfo",
        "/proc/pagetypeinfo",
        "/proc/kpageflags",
        "/proc/1/environ",
        "/proc/1/maps",
        "/proc/1/mem",
        "/proc/1/auxv",
        "/proc/1/stack",
        "/proc/1/syscall",
        "/proc/1/io",
        "/proc/1/pagemap",
        "/sys/devices/virtual/block/*/*",
    ] {
        let (_, said) = arena.execute(&format!("cat {path} 2>/dev/null | head -c 100"));
        assert_eq!(said, "", "{path}");
    }
    // Where the layers and disks are on the host is in no table of mounts.
    let home = arena.ground.home.path().canonicalize().unwrap();
    let (_, mounts) = arena.execute("cat /proc/self/mountinfo /proc/mounts /proc/self/mountstats");
    assert!(mounts.contains("overlay") && !mounts.contains(home.to_str().unwrap()), "{mounts}");
}

#[test]
fn processes_of_the_host_cannot_be_seen_or_signalled() {
    let arena = Arena::new();
    let host = std::process::id();
    let spawner = arena.ground.host().process(&arena.id).is_some();
    assert!(spawner, "the sandbox runs");
    let mut table = Vec::new();
    for signal in [0, 9, 15, 19] {
        table.push((format!("kill {host} {signal}"), &[ESRCH][..]));
        table.push((format!("tgkill {host} {host} {signal}"), &[ESRCH][..]));
    }
    table.push((format!("pidfd_open {host} 0"), &[ESRCH]));
    table.push((format!("ptrace 16 {host} 0 0"), &[ESRCH]));
    table.push((format!("process_vm_readv {host} %4096,0,8,0 1 %4096,0,8,0 1 0"), &[ESRCH]));
    table.push((format!("prlimit64 {host} 7 0 &16"), &[ESRCH]));
    table.push((format!("sched_setaffinity {host} 8 &8"), &[ESRCH]));
    table.push((format!("setpriority 0 {host} 19"), &[ESRCH]));
    table.push((format!("open @/proc/{host}/status 0"), &[ENOENT]));
    all_fail(&arena, &table);
    // Everybody it can reach is its own: this ends all but the daemon, and nobody else.
    let other = arena.another();
    arena.execute("kill -9 -1");
    assert_eq!(arena.execute("echo alive").1, "alive");
    assert_eq!(arena.ground.execute(&other, "echo alive").1, "alive");
}

#[test]
fn the_daemon_cannot_be_traced_read_limited_or_robbed() {
    let arena = Arena::new();
    all_fail(
        &arena,
        &rows(&[
            ("ptrace 16 1 0 0", &[EPERM]),
            ("ptrace 16902 1 0 0", &[EPERM]),
            ("process_vm_readv 1 %4096,0,8,0 1 %4096,0,8,0 1 0", &[EPERM]),
            ("process_vm_writev 1 %4096,0,8,0 1 %4096,0,8,0 1 0", &[EPERM]),
            ("pidfd_open 1 0 ; pidfd_getfd $0 3 0", &[EPERM]),
            ("pidfd_open 1 0 ; pidfd_getfd $0 4 0", &[EPERM]),
            ("pidfd_open 1 0 ; process_madvise $0 &16 1 4 0", &[EPERM, EACCES]),
            ("pidfd_open 1 0 ; setns $0 0x20000", &[EPERM]),
            ("open @/proc/self/ns/mnt 0 ; setns $0 0", &[EPERM]),
            ("open @/proc/1/ns/mnt 0", &[EACCES]),
            ("open @/proc/1/mem 2", &[EACCES]),
            ("open @/proc/1/environ 0", &[EACCES]),
            ("open @/proc/1/maps 0", &[EACCES]),
            ("readlink @/proc/1/fd/0 &64 64", &[EACCES]),
            ("readlink @/proc/1/fd/3 &64 64", &[EACCES]),
            ("readlink @/proc/1/exe &64 64", &[EACCES]),
            ("open @/proc/1/fd/3 2", &[EACCES]),
            ("open @/proc/1/exe 0", &[EACCES]),
            ("open @/proc/1/exe 1", &[EACCES]),
            ("open @/proc/1/root/etc/passwd 0", &[EACCES]),
            ("open @/proc/1/cwd 0x10000", &[EACCES]),
            ("open @/proc/1/task/1/fd/3 0", &[EACCES]),
            ("kcmp 1 1 0 3 3", &[EPERM]),
            ("get_robust_list 1 &8 &8", &[EPERM]),
            ("migrate_pages 1 8 &8 &8", &[EPERM]),
            ("prlimit64 1 0 &16 0", &[EPERM]),
            ("prlimit64 1 7 &16 0", &[EPERM]),
            ("perf_event_open &128 1 - - 0", &[EPERM]),
        ]),
    );
    // These are no errors and have no effect, however often, and also while it starts a command: then its first thread
    // blocks signals, and the kernel would not spare it.
    for signal in (1..=64).filter(|signal| *signal != 15) {
        // Without `-s` busybox takes 1 for a process id.
        arena.execute(&format!("kill -s {signal} 1"));
    }
    let flood =
        "for turn in $(seq 300); do for signal in 1 2 3 6 10 11 12 14 34; do kill -s $signal 1; done; done";
    arena.execute(&format!("({flood}) > /dev/null 2>&1 &"));
    for _ in 0..100 {
        assert_eq!(arena.execute("echo alive").1, "alive");
    }
    // Nothing inside leads to its socket.
    let (_, sockets) = arena.execute("cat /proc/net/unix");
    assert!(!sockets.contains(&arena.id) && !sockets.contains("/run/"), "{sockets}");
}

#[test]
fn sockets_and_shared_memory_of_the_host_are_out_of_reach() {
    let arena = Arena::new();
    let name = format!("daytona-test-{}", std::process::id());
    let _listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let (address, length) = address_of(&name);
    let by_path = arena.ground.home.path().join("run").join(&arena.id);
    let mut table = vec![
        (format!("socket 1 1 0 ; connect $0 {address} {length}"), &[ECONNREFUSED][..]),
        (format!("open @{} 2", by_path.display()), &[ENOENT][..]),
    ];
    // The last segments of System V, shared by every process of the namespace, whatever their keys.
    for key in 1..20 {
        table.push((format!("shmget {key} 4096 0"), &[ENOENT]));
        table.push((format!("msgget {key} 0"), &[ENOENT]));
    }
    all_fail(&arena, &table);
    let made = std::process::Command::new("ipcmk").args(["--shmem", "4096"]).output().unwrap();
    let made = String::from_utf8(made.stdout).unwrap();
    let segment = made.split_whitespace().last().unwrap();
    let (_, seen) = arena.execute("cat /proc/sysvipc/shm");
    let status = std::process::Command::new("ipcrm").args(["--shmem-id", segment]).status().unwrap();
    assert!(status.success(), "{made}");
    assert_eq!(seen.lines().count(), 1, "{seen}");
    assert!(!arena.execute("cat /proc/net/unix").1.contains(&name));
}

#[test]
fn no_trick_with_roots_and_links_leads_out() {
    let arena = Arena::new();
    let marker = arena.ground.home.path().join("marker");
    std::fs::write(&marker, "the host's").unwrap();
    let marker = marker.to_str().unwrap();
    let up = "../".repeat(40);
    let table = vec![
        // The classic escape from a changed root, with a descriptor of a directory outside of it.
        (
            format!(
                "mkdir @/tmp/jail 511 ; open @/ 0x10000 ; chroot @/tmp/jail ; fchdir $1 ; chdir @{up} ; chroot @. ; \
                 open @{marker} 0"
            ),
            &[ENOENT][..],
        ),
        (format!("open @{up}{marker} 0"), &[ENOENT][..]),
        (format!("open @/proc/self/root/{up}{marker} 0"), &[ENOENT]),
        (format!("open @/proc/self/cwd/{up}{marker} 0"), &[ENOENT]),
        (format!("symlink @/proc/self/root/{up}{marker} @/tmp/link ; open @/tmp/link 0"), &[ENOENT]),
        (format!("link @{marker} @/tmp/hard"), &[ENOENT]),
        (format!("rename @{marker} @/tmp/moved"), &[ENOENT]),
        (
            "name_to_handle_at 18446744073709551516 @/ &128 &8 0 ; open_by_handle_at 3 &128 0".to_owned(),
            &[EPERM],
        ),
        ("unshare 0x10000000".to_owned(), &[EPERM]),
        ("clone 0x10000011 0 0 0 0".to_owned(), &[EPERM]),
    ];
    all_fail(&arena, &table);
    // Links in /proc to open files lead to files of the sandbox alone, and a command has none that it did not open.
    assert_eq!(arena.execute("ls /proc/self/fd | echo $(cat)").1, "0 1 2 3");
    // What a shell closed between the list and the look is shown without a target.
    let links =
        "cd /proc/self/fd && ls -l . 2>/dev/null | grep -e ' -> ' | grep -v -e pipe: -e /dev/null -e /proc";
    assert_eq!(arena.execute(&format!("{links} | echo $(cat)")).1, "");
    assert_eq!(arena.execute("ls -l /proc/self/cwd /proc/self/root | grep -c ' -> /$'").1, "2");
}

#[test]
fn other_sandboxes_files_and_processes_are_out_of_sight() {
    let arena = Arena::new();
    let other = arena.another();
    arena.ground.execute(&other, "echo secret > /root/of-the-other; sleep 4321 > /dev/null 2>&1 &");
    assert_eq!(arena.execute("ls /root /home /tmp | grep of-the-other").1, "");
    assert!(!arena.execute("ps").1.contains("4321"));
    // Layers are shared: what one writes to a file of the image, the other does not see.
    arena.ground.execute(&other, "echo changed > /etc/group; rm /bin/wget; chmod 777 /bin");
    assert!(arena.execute("cat /etc/group").1.starts_with("root:"));
    assert_eq!(arena.execute("test -e /bin/wget && echo there").1, "there");
    assert_eq!(arena.execute("ls -ld /bin | head -c 10").1, "drwxr-xr-x");
}

#[test]
fn setuid_programs_are_confined() {
    let arena = Arena::new();
    // On the sandbox's disk the file belongs to an id that is nobody's on the host.
    let (_, map) =
        arena.execute("cat /bin/busybox > /tmp/busybox; chmod 4755 /tmp/busybox; cat /proc/self/uid_map");
    let base: u64 = map.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(base >= 3_500_000_000);
    // A capability on a file is the namespace's own, and the bounding set is the same for all.
    for command in ["cat /proc/self/status", "/tmp/busybox cat /proc/self/status"] {
        let (_, status) = arena.execute(command);
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
            u64::from_str_radix(line, 16).unwrap()
        };
        let kept = linux::capability::KEPT.bits();
        assert_eq!(field("CapBnd:"), kept, "{command}");
        assert_eq!(field("CapEff:") & !kept, 0, "{command}");
        assert_eq!(field("CapInh:"), 0, "{command}");
    }
}
