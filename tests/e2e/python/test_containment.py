"""Attacks from inside through the official SDK, as root by `sudo`: nothing of the host, of other sandboxes or of the
daemon is within reach, and what ordinary programs need still works."""

import os
import textwrap
import time

import pytest
from daytona import DaytonaNotFoundError

PROLOGUE = """
import ctypes, errno, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(number, *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    return 'ok' if result >= 0 else errno.errorcode[ctypes.get_errno()]

def opened(path, flags=os.O_RDONLY):
    try:
        os.close(os.open(path, flags))
        return 'ok'
    except OSError as error:
        return errno.errorcode[error.errno]

def sock(*arguments):
    try:
        socket.socket(*arguments).close()
        return 'ok'
    except OSError as error:
        return errno.errorcode[error.errno]
"""


def as_root(sandbox, program):
    """Runs a Python program as root inside and returns what it printed, line by line."""
    path = f"/tmp/attack-{time.monotonic_ns()}.py"
    sandbox.fs.upload_file((PROLOGUE + textwrap.dedent(program)).encode(), path)
    answer = sandbox.process.exec(f"sudo -n python3 {path}", timeout=60)
    assert answer.exit_code == 0, answer.result
    return answer.result.split("\n")[:-1]


def shell(sandbox, command):
    answer = sandbox.process.exec(command, timeout=60)
    assert answer.exit_code == 0, answer.result
    return answer.result.strip()


# Numbers of system calls on x86-64, what is passed, and how it must end.
CALLS = {
    "mount": ("call(165, b'none', b'/mnt', b'tmpfs', 0, 0)", "EPERM"),
    "umount2": ("call(166, b'/proc', 2)", "EPERM"),
    "pivot_root": ("call(155, b'/', b'/')", "EPERM"),
    "fsopen": ("call(430, b'tmpfs', 0)", "EPERM"),
    "open_tree": ("call(428, -100, b'/', 1)", "EPERM"),
    "move_mount": ("call(429, -100, b'/', -100, b'/mnt', 0)", "EPERM"),
    "unshare of users": ("call(272, 0x10000000)", "EPERM"),
    "unshare of mounts": ("call(272, 0x20000)", "EPERM"),
    "clone3": ("call(435, 0, 0)", "ENOSYS"),
    "setns": ("call(308, os.open('/proc/self/ns/net', os.O_RDONLY), 0)", "EPERM"),
    "init_module": ("call(175, b'', 0, b'')", "EPERM"),
    "finit_module": ("call(313, os.open('/etc/passwd', os.O_RDONLY), b'', 0)", "EPERM"),
    "delete_module": ("call(176, b'loop', 0)", "EPERM"),
    "kexec_load": ("call(246, 0, 0, 0, 0)", "EPERM"),
    "reboot": ("call(169, 0xfee1dead, 672274793, 0x1234567, 0)", "EPERM"),
    "swapon": ("call(167, b'/etc/passwd', 0)", "EPERM"),
    "settimeofday": ("call(164, ctypes.create_string_buffer(16), 0)", "EPERM"),
    "clock_settime": ("call(227, 0, ctypes.create_string_buffer(16))", "EPERM"),
    "adjtimex": ("call(159, ctypes.create_string_buffer(256))", "EPERM"),
    "acct": ("call(163, 0)", "EPERM"),
    "syslog": ("call(103, 3, ctypes.create_string_buffer(64), 64)", "EPERM"),
    "quotactl": ("call(179, 0x800007, b'/dev/vda', 0, 0)", "EPERM"),
    "bpf": ("call(321, 0, ctypes.create_string_buffer(128), 128)", "EPERM"),
    "perf_event_open": ("call(298, ctypes.create_string_buffer(128), 0, -1, -1, 0)", "EPERM"),
    "io_uring_setup": ("call(425, 4, ctypes.create_string_buffer(128))", "EPERM"),
    "userfaultfd": ("call(323, 1)", "EPERM"),
    "keyctl": ("call(250, 0, -3, 1)", "EPERM"),
    "add_key": ("call(248, b'user', b'x', b'y', 1, -3)", "EPERM"),
    "open_by_handle_at": ("call(304, 3, ctypes.create_string_buffer(128), 0)", "EPERM"),
    "fanotify_init": ("call(300, 0, 0)", "EPERM"),
    "ptrace the daemon": ("call(101, 16, 1, 0, 0)", "EPERM"),
    "rob the daemon": ("call(438, call_fd, 3, 0)", "EPERM"),
    "limit the daemon": ("call(302, 1, 0, ctypes.create_string_buffer(16), 0)", "EPERM"),
    "a strange persona": ("call(135, 0x0100000)", "EPERM"),
    "type for others": ("call(16, 0, 0x5412, b'x')", "EPERM"),
    "make a disk": ("call(133, b'/tmp/disk', 0o60666, (254 << 8))", "EPERM"),
    "make memory": ("call(133, b'/tmp/memory', 0o20666, (1 << 8) | 1)", "EPERM"),
    "raw frames": ("sock(socket.AF_PACKET, socket.SOCK_RAW, 3)", "EPERM"),
    "the hypervisor": ("sock(40, socket.SOCK_STREAM, 0)", "EPERM"),
    "the kernel's cryptography": ("sock(38, socket.SOCK_SEQPACKET, 0)", "EPERM"),
    "the packet filter (CVE-2024-1086)": ("sock(socket.AF_NETLINK, socket.SOCK_RAW, 12)", "EPERM"),
    "transforms": ("sock(socket.AF_NETLINK, socket.SOCK_RAW, 6)", "EPERM"),
    "SCTP": ("sock(socket.AF_INET, socket.SOCK_STREAM, 132)", "EPERM"),
    "memory of the daemon": ("opened('/proc/1/mem', os.O_RDWR)", "EACCES"),
    "variables of the daemon": ("opened('/proc/1/environ')", "EACCES"),
    "maps of the daemon": ("opened('/proc/1/maps')", "EACCES"),
    "a socket of the daemon": ("opened('/proc/1/fd/3', os.O_RDWR)", "EACCES"),
    "the daemon's program": ("opened('/proc/1/exe', os.O_WRONLY)", "EACCES"),
    "the daemon's root": ("opened('/proc/1/root/etc/passwd')", "EACCES"),
}


@pytest.fixture(scope="module")
def answers(box):
    """Every call of the table, made as root in one program."""
    lines = ["call_fd = libc.syscall(434, 1, 0)"]
    lines += [f"print({name!r}, {attack[0]}, sep='\\t')" for name, attack in CALLS.items()]
    said = as_root(box, "\n".join(lines))
    return dict(line.split("\t") for line in said)


@pytest.mark.parametrize("name", CALLS)
def test_an_attack_fails(answers, name):
    assert answers[name] == CALLS[name][1]


def test_descriptors_passed_inside_lead_nowhere_else(box):
    """A process hands its descriptors to another, which enters them: both stay in the same root."""
    program = """
    import array
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    root = os.open('/', os.O_RDONLY)
    left.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [root]))])
    _, ancillary, _, _ = right.recvmsg(1, socket.CMSG_LEN(4))
    fd = array.array('i', ancillary[0][2][:4])[0]
    os.fchdir(fd)
    for _ in range(40): os.chdir('..')
    print(os.path.exists('etc/daytona-e2e-never'), os.stat('.').st_ino == os.stat('/').st_ino)
    """
    assert as_root(box, program) == ["False True"]


def test_nothing_inside_listens_for_commands(box):
    """The daemon's socket has no name inside, and no port answers."""
    program = """
    names = [line.split()[7] for line in open('/proc/net/unix').read().splitlines()[1:] if len(line.split()) > 7]
    print([name for name in names if 'daytona' in name or 'run' in name])
    found = []
    for port in (2280, 22220, 33333, 3000, 80, 8080):
        with socket.socket() as client:
            client.settimeout(1)
            if client.connect_ex(('127.0.0.1', port)) == 0: found.append(port)
    print(found)
    """
    assert as_root(box, program) == ["[]", "[]"]


def test_no_key_is_inside(box):
    key = os.environ["DAYTONA_API_KEY"]
    program = f"""
    import glob
    found = []
    for path in glob.glob('/proc/[0-9]*/environ') + glob.glob('/proc/[0-9]*/cmdline'):
        try:
            # This very program holds the key's halves apart.
            if ({key[:20]!r} + {key[20:]!r}).encode() in open(path, 'rb').read(): found.append(path)
        except OSError: pass
    print(found)
    """
    assert as_root(box, program) == ["[]"]


def test_a_typist_cannot_reach_another_terminal(box):
    program = """
    import pty, fcntl
    master, slave = pty.openpty()
    try:
        fcntl.ioctl(slave, 0x5412, b'x')
        print('typed')
    except OSError as error:
        print(errno.errorcode[error.errno])
    """
    assert as_root(box, program) == ["EPERM"]


def test_core_dumps_start_no_program_of_the_host(box):
    """A pattern that begins with `|` would start a program as root of the host; nobody inside may set one."""
    program = """
    try:
        open('/proc/sys/kernel/core_pattern', 'w').write('|/tmp/evil')
        print('written')
    except OSError as error:
        print('refused')
    """
    assert as_root(box, program) == ["refused"]


@pytest.mark.parametrize(
    "command",
    [
        "setarch -R true",
        "ip -o addr > /dev/null",
        "prlimit --nofile=512 true && sudo -n prlimit --pid 1 > /dev/null",
        "python3 -c 'import threading, subprocess; t = threading.Thread(target=print); t.start(); t.join(); subprocess.run([\"true\"], check=True)'",
        "python3 -c 'import multiprocessing; multiprocessing.Pool(2).map(abs, [1, 2])'",
        "python3 -c 'import asyncio; asyncio.run(asyncio.sleep(0))'",
        "python3 -c 'import mmap, os; os.memfd_create(\"x\"); mmap.mmap(-1, 4096)'",
        "python3 -c 'import pty; pty.openpty()'",
        "sudo -n chroot / true",
        "sudo -n chown 1000:1000 /tmp && sudo -n chown 0:0 /tmp",
        "mkfifo /tmp/fifo-$$ && rm /tmp/fifo-$$",
        "timeout 1 sleep 5; test $? = 124",
    ],
)
def test_ordinary_programs_work(box, command):
    answer = box.process.exec(f"bash -c '{command}'" if "'" not in command else command, timeout=60)
    assert answer.exit_code == 0, answer.result


def test_the_isolation_in_force_is_told(box, raw):
    answer = raw.api("GET", f"/sandbox/{box.id}")
    isolation = answer.json()["isolation"]
    assert (isolation["class"], isolation["kernel"]) == ("container", "shared")
    broken = [layer for layer in isolation["layers"] if not layer["inForce"]]
    assert broken == []
    assert {"user namespace", "system calls", "limits", "network"} <= {layer["name"] for layer in isolation["layers"]}


def wait_for(daytona, sandbox_id, state):
    deadline = time.monotonic() + 60
    while True:
        sandbox = daytona.get(sandbox_id)
        if sandbox.state == state or time.monotonic() > deadline:
            return sandbox
        time.sleep(0.2)


def end_the_daemon(sandbox):
    """Asks process 1 to end. The answer may be lost with it."""
    try:
        sandbox.process.exec("sudo -n kill -TERM 1; sleep 5", timeout=10)
    except Exception:  # noqa: BLE001 - whatever the SDK makes of a connection that ends
        pass


def test_code_that_ends_its_daemon_leaves_an_error_with_a_cause_and_can_go_on(create, daytona, box):
    sandbox = create()
    shell(sandbox, "echo kept > /home/daytona/kept")
    end_the_daemon(sandbox)
    seen = wait_for(daytona, sandbox.id, "error")
    assert seen.state == "error", seen.state
    assert seen.error_reason and "daemon" in seen.error_reason
    # Nobody else notices, and it goes on where it was.
    assert shell(box, "echo alive") == "alive"
    seen.start(timeout=60)
    assert shell(seen, "cat /home/daytona/kept") == "kept"
    assert not daytona.get(sandbox.id).error_reason


def test_a_sandbox_that_is_to_go_when_it_stops_goes_when_its_code_ends_it(create, daytona):
    sandbox = create(ephemeral=True)
    end_the_daemon(sandbox)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if daytona.get(sandbox.id).state == "destroyed":
                return
        except DaytonaNotFoundError:
            return
        time.sleep(0.2)
    pytest.fail("it is still there")


def test_one_in_error_can_be_deleted(create, daytona):
    sandbox = create()
    end_the_daemon(sandbox)
    wait_for(daytona, sandbox.id, "error")
    daytona.get(sandbox.id).delete(timeout=60, wait=True)
