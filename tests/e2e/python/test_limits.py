"""Attacks from inside: the neighbour goes on, the attacked sandbox recovers and says what it ran into.

How long the neighbour's commands take is written down, not judged: machines differ. See target/e2e/limits.json.
"""

import json
import pathlib
import socket
import statistics
import threading
import time
from urllib.parse import urlsplit

import pytest
from daytona import DaytonaError

RESULTS = pathlib.Path(__file__).resolve().parents[3] / "target" / "e2e" / "limits.json"


@pytest.fixture(scope="module")
def measured():
    """Collects what the cases measure, and writes it down after the last one."""
    found = {}
    yield found
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    for name, numbers in found.items():
        print(f"{name}: {numbers}")


def execute(raw, sandbox, command, timeout=60):
    return raw.toolbox(sandbox, "POST", "/process/execute", json={"command": command, "timeout": timeout})


def summary(times):
    times = sorted(times)
    milliseconds = [round(time * 1000, 1) for time in times]
    p95 = milliseconds[min(len(times) - 1, len(times) * 95 // 100)]
    return {"commands": len(times), "p50_ms": statistics.median(milliseconds), "p95_ms": p95, "max_ms": milliseconds[-1]}


class Neighbour:
    """Another sandbox, whose commands must all succeed while the first is under attack."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.over = threading.Event()
        self.failures = []

    def command(self):
        start = time.perf_counter()
        answer = self.sandbox.process.exec("echo here", timeout=30)
        assert (answer.exit_code, answer.result) == (0, "here\n"), answer
        return time.perf_counter() - start

    def work(self, times):
        while not self.over.is_set():
            try:
                times.append(self.command())
            except Exception as error:
                self.failures.append(error)
                return


@pytest.fixture
def attack(create, measured):
    """Runs an attack on one fresh sandbox while a neighbour works, and checks both afterwards."""

    def run(name, attacker, attacked=None):
        attacked, neighbour = attacked or create(), Neighbour(create())
        quiet = [neighbour.command() for _ in range(20)]
        during = []
        worker = threading.Thread(target=neighbour.work, args=(during,))
        worker.start()
        try:
            attacker(attacked)
        finally:
            neighbour.over.set()
            worker.join()
        assert not neighbour.failures, neighbour.failures
        measured[name] = {"quiet": summary(quiet), "during": summary(during)}
        assert attacked.process.exec("echo back").result == "back\n"

    return run


def conditions(raw, sandbox):
    answer = raw.api("GET", f"/sandbox/{sandbox.id}")
    assert answer.status_code == 200, answer.text
    return {condition["cause"]: condition for condition in answer.json().get("conditions", [])}


def assert_cause(answer, cause):
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["exitCode"] != 0 and body.get("cause") == cause, body
    assert body["evidence"] and body["remedy"], body
    return body


def test_memory_hog(attack, raw):
    def attacker(sandbox):
        hog = "python3 -c 'a = []\nwhile True: a.append(bytearray(16 << 20))'"
        body = assert_cause(execute(raw, sandbox, hog), "out-of-memory")
        assert "1 GiB" in body["evidence"] and "resize" in body["remedy"], body
        # The official SDK takes the same answer.
        answer = sandbox.process.exec(hog)
        assert answer.exit_code == 137
        run = sandbox.process.code_run("a = []\nwhile True: a.append(bytearray(16 << 20))")
        assert run.exit_code != 0
        assert conditions(raw, sandbox)["out-of-memory"]["count"] >= 3
        assert "cause" not in execute(raw, sandbox, "exit 3").json()

    attack("memory hog", attacker)


def test_shared_memory_hog(attack):
    def attacker(sandbox):
        answer = sandbox.process.exec("dd if=/dev/zero of=/dev/shm/big bs=1M count=4000")
        assert answer.exit_code != 0 and "No space left" in answer.result, answer.result
        assert sandbox.process.exec("rm /dev/shm/big").exit_code == 0

    attack("shared memory hog", attacker)


def test_fork_bomb(attack, raw):
    def attacker(sandbox):
        bomb = "bomb() { bomb | bomb & wait; }; while :; do bomb; done"
        answer = execute(raw, sandbox, f"sudo -n bash -c '{bomb}'", timeout=8)
        assert answer.status_code == 408, answer.text
        deadline = time.time() + 60
        while execute(raw, sandbox, "true", timeout=10).json().get("exitCode") != 0:
            assert time.time() < deadline, "the sandbox did not recover"
            time.sleep(0.2)
        assert conditions(raw, sandbox)["process-limit"]["count"] > 0

    attack("fork bomb", attacker)


def test_full_disk(attack, raw):
    def attacker(sandbox):
        command = "fallocate -l 2G big; fallocate -l 500M big2; dd if=/dev/zero of=more bs=1M count=4000"
        body = assert_cause(execute(raw, sandbox, command), "disk-full")
        assert "No space left" in body["result"]
        assert "disk-full" in conditions(raw, sandbox)
        with pytest.raises(DaytonaError):
            sandbox.fs.upload_file(b"x" * 1_000_000, "one-more")
        assert sandbox.process.exec("rm -f big big2 more").exit_code == 0
        assert "disk-full" not in conditions(raw, sandbox)

    attack("full disk", attacker)


def test_disk_full_of_files(attack, create_raw, raw):
    def attacker(sandbox):
        fill = "mkdir many && cd many && seq 70000 | xargs touch"
        body = assert_cause(execute(raw, sandbox, fill, timeout=150), "inodes-full")
        assert "No space left" in body["result"]
        assert "inodes-full" in conditions(raw, sandbox)
        assert sandbox.process.exec("rm -rf many", timeout=120).exit_code == 0
        assert "inodes-full" not in conditions(raw, sandbox)

    attack("disk full of files", attacker, create_raw(disk=1))


def test_flood_of_output(attack, raw):
    def attacker(sandbox):
        answer = sandbox.process.exec("head -c 3G /dev/zero | tr '\\0' x", timeout=120)
        assert answer.exit_code == 0
        assert len(answer.result) < 17 << 20 and "bytes omitted" in answer.result
        assert "out-of-memory" not in conditions(raw, sandbox)

    attack("flood of output", attacker)


def test_ten_thousand_open_files(attack):
    def attacker(sandbox):
        run = sandbox.process.code_run("files = [open('/etc/passwd') for _ in range(10_000)]\nprint(len(files))")
        assert (run.exit_code, run.result) == (0, "10000\n")
        # All that are allowed, and a little more.
        greedy = "files = []\ntry:\n    while True: files.append(open('/dev/null'))\nexcept OSError as e: print(e.errno)"
        assert sandbox.process.code_run(greedy).exit_code in (0, 137)

    attack("open files", attacker)


def test_a_thousand_connections_inside(attack):
    program = """
import asyncio
async def main():
    async def serve(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
    server = await asyncio.start_server(serve, '127.0.0.1', 8099, backlog=1024)
    async def one(number):
        reader, writer = await asyncio.open_connection('127.0.0.1', 8099)
        writer.write(b'%d\\n' % number)
        assert int(await reader.readline()) == number
        return writer
    held = await asyncio.gather(*(one(number) for number in range(1000)))
    print(len(held))
asyncio.run(main())
"""

    def attacker(sandbox):
        run = sandbox.process.code_run(program)
        assert (run.exit_code, run.result) == (0, "1000\n"), run.result

    attack("connections inside", attacker)


def test_a_thousand_connections_to_the_daemon(attack, raw):
    def attacker(sandbox):
        url = urlsplit(sandbox.toolbox_proxy_url)
        request = (
            f"GET {url.path}/{sandbox.id}/version HTTP/1.1\r\nHost: {url.netloc}\r\n"
            f"Authorization: Bearer {raw.key}\r\n\r\n"
        ).encode()
        held = []
        try:
            for _ in range(1000):
                connection = socket.create_connection((url.hostname, url.port), timeout=30)
                held.append(connection)
                connection.sendall(request)
            for connection in held:
                assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
            assert sandbox.process.exec("echo one more").result == "one more\n"
        finally:
            for connection in held:
                connection.close()

    attack("connections to the daemon", attacker)
