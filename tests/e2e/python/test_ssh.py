"""SSH into a real sandbox, by OpenSSH's own programs, through the platform with an API key."""

import fcntl
import hashlib
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

# No program takes longer than this on any machine.
PATIENCE_S = 120
CONNECTOR = Path(__file__).with_name("upgraded.py")


class Ssh:
    """OpenSSH's programs, each reaching one sandbox by a connector of ours and nothing else."""

    def __init__(self, box, directory):
        url = f"{box.toolbox_proxy_url}/{box.id}/ssh"
        self.options = ["-F", "/dev/null"]
        for option in (
            f"ProxyCommand={sys.executable} {CONNECTOR} {url}",
            f"UserKnownHostsFile={directory / 'known_hosts'}",
            # A key that changes is an error from the second connection on.
            "StrictHostKeyChecking=accept-new",
            "BatchMode=yes",
            "LogLevel=ERROR",
            "IdentityFile=/dev/null",
            "IdentityAgent=none",
        ):
            self.options += ["-o", option]

    def words(self, program, *more):
        return [program, *self.options, *more]

    def run(self, *more, program="ssh", **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        words = self.words(program, *more)
        return subprocess.run(words, capture_output=True, timeout=PATIENCE_S, **options)

    def line(self, command):
        done = self.run("sandbox", command)
        assert done.returncode == 0, done
        return done.stdout.decode().rstrip("\n")


@pytest.fixture(scope="module")
def ssh(box, tmp_path_factory):
    for program in ("ssh", "sftp", "scp"):
        assert shutil.which(program), f"{program} is missing; install openssh-client"
    return Ssh(box, tmp_path_factory.mktemp("ssh"))


def test_a_command_is_the_sandboxs_users_and_has_its_own_code(ssh, box):
    done = ssh.run("sandbox", "id -un; pwd; echo $DAYTONA_SANDBOX_ID; echo no >&2; exit 7")
    assert (done.returncode, done.stdout.decode().split(), done.stderr) == (7, ["daytona", "/home/daytona", box.id], b"no\n")
    # Inside for real: the processes are the sandbox's, and its first one is the daemon.
    assert ssh.line("cat /proc/1/comm") == box.process.exec("cat /proc/1/comm").result.strip()
    assert ssh.run("sandbox", "kill -9 $$").returncode == 255
    assert ssh.run("sandbox", "no-such-command").returncode == 127


def test_what_containment_forbids_is_forbidden_here_too(ssh):
    """The same filter and the same capabilities as every other program of the sandbox."""
    status = ssh.line("grep -E '^(Seccomp|NoNewPrivs|CapBnd):' /proc/self/status").split()
    assert status[status.index("Seccomp:") + 1] == "2"
    assert ssh.run("sandbox", "unshare --user true || mount -t tmpfs none /mnt").returncode != 0


def test_input_streams_and_output_streams(ssh):
    content = os.urandom(24 << 20)
    done = ssh.run("sandbox", "tee copy.bin; sha256sum copy.bin >&2", stdin=None, input=content)
    assert done.returncode == 0
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(content).digest()
    assert done.stderr.split()[0].decode() == hashlib.sha256(content).hexdigest()


class Screen:
    """A terminal of this machine in which ssh runs."""

    def __init__(self, words, rows, columns):
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            try:
                # Before ssh looks.
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
                os.execvp(words[0], words)
            finally:
                os._exit(127)
        self.seen = b""

    def resize(self, rows, columns):
        # The kernel tells ssh.
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.descriptor, text.encode())

    def until(self, text, patience_s=PATIENCE_S):
        deadline = time.monotonic() + patience_s
        while text.encode() not in self.seen:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self.descriptor], [], [], max(left, 0))
            if not ready:
                return False
            try:
                self.seen += os.read(self.descriptor, 65536)
            except OSError:
                return False
        self.seen = self.seen.split(text.encode(), 1)[1]
        return True

    def end(self):
        """Reads to the end and returns the exit code."""
        while True:
            try:
                data = os.read(self.descriptor, 65536)
            except OSError:
                break
            if not data:
                break
            self.seen += data
        _, status = os.waitpid(self.pid, 0)
        self.pid = None
        return os.waitstatus_to_exitcode(status)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.descriptor)


def test_a_terminal_has_the_clients_size_and_follows_it(ssh):
    with Screen(ssh.words("ssh", "-tt", "sandbox"), 33, 101) as screen:
        screen.type("stty size; tty; echo re''ady\n")
        assert screen.until("33 101\r\n") and screen.until("/dev/pts/") and screen.until("ready")
        screen.resize(50, 132)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            # The news is on its way beside what is typed.
            screen.type("echo size $(stty size)\n")
            if screen.until("size 50 132\r\n", 2):
                break
            assert time.monotonic() < deadline, screen.seen[-2000:]
        # An interrupt reaches the program, and the shell goes on.
        screen.type("echo sle''eping; sleep 98721\n")
        assert screen.until("sleeping")
        while "sleep 98721" not in ssh.line("ps -eo args"):
            assert time.monotonic() < deadline
        screen.type("\x03")
        screen.type("exit 9\n")
        assert screen.end() == 9, screen.seen[-2000:]


def test_a_full_screen_program(ssh):
    with Screen(ssh.words("ssh", "-tt", "sandbox", "less /etc/services || cat -n /etc/passwd | less"), 24, 80) as screen:
        assert screen.until("\x1b[?1049h"), "it takes the whole screen"
        screen.type("G")
        assert screen.until("(END)")
        screen.type("q")
        assert screen.end() == 0


def test_sftp_puts_and_gets_what_it_was_given(ssh, box, tmp_path):
    content = os.urandom((12 << 20) + 7)
    (tmp_path / "up.bin").write_bytes(content)
    batch = tmp_path / "batch"
    batch.write_text(
        f"mkdir over\nput {tmp_path}/up.bin over/one.bin\nchmod 600 over/one.bin\nrename over/one.bin over/two.bin\n"
        f"symlink two.bin over/link\nls -l over\nget over/link {tmp_path}/down.bin\nrm over/link\npwd\n"
    )
    done = ssh.run("-b", str(batch), "sandbox", program="sftp")
    assert done.returncode == 0, done
    assert b"-rw-------" in done.stdout and b"/home/daytona" in done.stdout
    assert (tmp_path / "down.bin").read_bytes() == content
    assert box.process.exec("stat -c '%U %a' over/two.bin").result.strip() == "daytona 600"
    assert ssh.line("sha256sum over/two.bin").split()[0] == hashlib.sha256(content).hexdigest()
    refused = ssh.run("-b", "-", "sandbox", program="sftp", stdin=None, input=b"put /etc/hostname /etc/forbidden\n")
    assert refused.returncode == 1 and b"ermission denied" in refused.stderr, refused


def test_scp_copies_trees_both_ways(ssh, tmp_path):
    tree = tmp_path / "tree"
    (tree / "deep" / "er").mkdir(parents=True)
    for number in range(40):
        (tree / "deep" / f"file {number}").write_bytes(os.urandom(number * 1000))
    (tree / "deep" / "er" / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (tree / "deep" / "er" / "run.sh").chmod(0o755)
    done = ssh.run("-rp", str(tree), "sandbox:copied", program="scp")
    assert done.returncode == 0, done
    assert ssh.line("copied/deep/er/run.sh") == "ran"
    back = ssh.run("-rp", "sandbox:copied", str(tmp_path / "back"), program="scp")
    assert back.returncode == 0, back
    for number in range(40):
        name = f"deep/file {number}"
        assert (tmp_path / "back" / name).read_bytes() == (tree / name).read_bytes()


ANSWERER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        body = sys.argv[2].encode() * 100000
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
"""


class Forwarding:
    """An ssh that does nothing but forward, for as long as the block lasts."""

    def __init__(self, ssh, *options):
        words = ssh.words("ssh", "-N", "-o", "ExitOnForwardFailure=yes", *options, "sandbox")
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate(timeout=PATIENCE_S)


def eventually(look):
    """Looks again and again until there is something to see."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            seen = look()
        except OSError:
            seen = None
        if seen:
            return seen
        assert time.monotonic() < deadline
        time.sleep(0.1)


def ask(connection):
    """Asks an HTTP server and returns the body."""
    with connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while data := connection.recv(65536):
            answer += data
    return answer.partition(b"\r\n\r\n")[2]


def dial(path):
    """Connects to a socket in this machine's file system."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE_S)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def test_local_forwarding_reaches_what_only_the_sandbox_reaches(ssh, box, tmp_path):
    box.fs.upload_file(ANSWERER.encode(), "answerer.py")
    assert box.process.exec("python3 answerer.py 8130 inside >/dev/null 2>&1 & echo").exit_code == 0
    socket_path = tmp_path / "local"
    with Forwarding(ssh, "-L", f"{socket_path}:localhost:8130"):
        expected = b"inside" * 100000
        # Until the server in the sandbox listens, the connection is there and says nothing.
        assert eventually(lambda: ask(dial(socket_path))) == expected
        assert all(ask(dial(socket_path)) == expected for _ in range(20))


def test_remote_forwarding_lets_the_sandbox_reach_the_client(ssh, box):
    class Answer(threading.Thread):
        def __init__(self):
            super().__init__(daemon=True)
            self.listener = socket.create_server(("127.0.0.1", 0))

        def run(self):
            while True:
                try:
                    connection, _ = self.listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + b"outside" * 100000)

    answer = Answer()
    answer.start()
    port = answer.listener.getsockname()[1]
    read = "import socket,sys,hashlib\n" "s=socket.create_connection(('127.0.0.1',int(sys.argv[1])))\n"
    read += "s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')\nh=hashlib.sha256()\n"
    read += "while d:=s.recv(65536): h.update(d)\nprint(h.hexdigest())\n"
    box.fs.upload_file(read.encode(), "read.py")
    expected = hashlib.sha256(b"HTTP/1.0 200 OK\r\n\r\n" + b"outside" * 100000).hexdigest()
    words = ssh.words("ssh", "-N", "-o", "ExitOnForwardFailure=yes", "-R", f"0:127.0.0.1:{port}", "sandbox")
    words[words.index("LogLevel=ERROR")] = "LogLevel=INFO"
    client = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        # The port was the sandbox's choice.
        told = re.search(r"Allocated port (\d+)", client.stderr.readline().decode())
        assert told, "no port was told"
        for _ in range(5):
            done = box.process.exec(f"python3 read.py {told[1]}")
            assert (done.exit_code, done.result.strip()) == (0, expected)
    finally:
        client.kill()
        client.communicate(timeout=PATIENCE_S)
        answer.listener.close()
    # The port is free again when the connection has gone.
    eventually(lambda: box.process.exec(f"python3 read.py {told[1]}").exit_code != 0)


def test_who_may_not_use_the_toolbox_does_not_get_in(ssh, raw, box):
    wrong = {**os.environ, "DAYTONA_API_KEY": "dtn_wrong"}
    done = ssh.run("sandbox", "true", env=wrong)
    assert done.returncode == 255 and b"401" in done.stderr, done
    plain = raw.toolbox(box, "GET", "/ssh")
    assert plain.status_code == 400 and "Upgrade: ssh" in plain.json()["message"]


def test_nothing_is_left_of_clients_that_vanish(ssh):
    client = subprocess.Popen(ssh.words("ssh", "sandbox", "sleep 98722"), stdin=subprocess.DEVNULL)
    try:
        eventually(lambda: "sleep 98722" in ssh.line("ps -eo args"))
    finally:
        client.kill()
        client.wait(PATIENCE_S)
    eventually(lambda: "sleep 98722" not in ssh.line("ps -eo args | grep -v grep"))
