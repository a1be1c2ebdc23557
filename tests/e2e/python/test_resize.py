"""New limits for a sandbox that runs, and for one that does not."""

import pytest
from daytona import DaytonaError, Resources

from wire import assert_refused


def out(sandbox, command):
    answer = sandbox.process.exec(command)
    assert answer.exit_code == 0, answer.result
    return answer.result.strip()


def fits(sandbox, mebibytes):
    return sandbox.process.exec(f"python3 -c 'a = bytearray({mebibytes} << 20)'").exit_code == 0


def root_gib(sandbox):
    """The size that `df` shows, rounded up: the file system keeps a little for itself."""
    return -(-int(out(sandbox, "df -k --output=size / | tail -1")) // (1 << 20))


def seen(raw, sandbox):
    answer = raw.toolbox(sandbox, "GET", "/system/metrics")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_memory_and_processors_change_while_it_runs(create, raw):
    sandbox = create()
    marker = out(sandbox, "sleep 1000 > /dev/null 2>&1 & echo $!")
    assert not fits(sandbox, 1200)
    sandbox.resize(Resources(cpu=2, memory=2))
    assert (sandbox.cpu, sandbox.memory, sandbox.state.value) == (2, 2, "started")
    assert fits(sandbox, 1200)
    metrics = seen(raw, sandbox)
    assert metrics["cpuCount"] == 2 and metrics["memTotal"] == 2 << 30
    # The contract lets a running one only grow; here it shrinks, too.
    sandbox.resize(Resources(cpu=1, memory=1))
    assert (sandbox.cpu, sandbox.memory) == (1, 1)
    assert not fits(sandbox, 1200)
    assert seen(raw, sandbox)["memTotal"] == 1 << 30
    # It was the same sandbox all the time.
    assert out(sandbox, f"ps -o comm= -p {marker}") == "sleep"


def test_memory_in_use_is_not_taken_away(create):
    sandbox = create()
    sandbox.resize(Resources(memory=2))
    hold = "python3 -c 'import time; a = bytearray(1300 << 20); open(\"held\", \"w\"); time.sleep(600)'"
    sandbox.process.exec(f"{hold} > /dev/null 2>&1 & until [ -e held ]; do sleep 0.1; done")
    with pytest.raises(DaytonaError) as refused:
        sandbox.resize(Resources(memory=1))
    assert "in use" in str(refused.value), refused.value
    sandbox.refresh_data()
    assert (sandbox.memory, sandbox.state.value) == (2, "started")
    assert out(sandbox, "pgrep -c python3") == "1"
    # The kernel takes a moment to take the memory back.
    out(sandbox, "pkill python3; while pgrep python3; do sleep 0.1; done")
    sandbox.resize(Resources(memory=1))
    assert sandbox.memory == 1


def test_a_disk_grows_while_it_is_stopped(create):
    sandbox = create()
    assert root_gib(sandbox) == 3
    out(sandbox, "echo kept > file")
    sandbox.stop()
    sandbox.resize(Resources(disk=5))
    assert (sandbox.disk, sandbox.state.value) == (5, "stopped")
    sandbox.start()
    assert root_gib(sandbox) == 5
    assert out(sandbox, "cat file") == "kept"
    out(sandbox, "fallocate -l 4G big")


def test_a_disk_grows_while_it_runs_or_says_why_not(create):
    sandbox = create()
    try:
        sandbox.resize(Resources(disk=5))
    except DaytonaError as refused:
        # The contract forbids it to a running one; it works where the host's root may grow a mounted file system.
        assert "stop" in str(refused).lower(), refused
        sandbox.refresh_data()
        assert (sandbox.disk, root_gib(sandbox)) == (3, 3)
    else:
        assert (sandbox.disk, root_gib(sandbox)) == (5, 5)
    assert sandbox.state.value == "started"


def test_what_is_refused(create, raw):
    sandbox = create()
    for body in ({}, {"cpu": 0}, {"cpu": -1}, {"memory": 0}, {"disk": 1}, {"cpu": "2"}, {"memory": 1.5},
                 {"memory": 10**9}, {"disk": 10**12}, {"cpu": 1, "memory": 1, "disk": 3}):
        assert_refused(raw.api("POST", f"/sandbox/{sandbox.id}/resize", json=body))
    assert_refused(raw.api("POST", "/sandbox/nobody/resize", json={"cpu": 2}), 404)
    sandbox.refresh_data()
    assert (sandbox.cpu, sandbox.memory, sandbox.disk) == (1, 1, 3)
    assert out(sandbox, "echo here") == "here"
