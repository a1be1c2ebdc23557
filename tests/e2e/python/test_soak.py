"""A soak: two hundred times a sandbox stops, pauses, is archived and forked, and every time its files are what they were."""

import time

import pytest
from daytona import SandboxState

import tree
from conftest import remove

# Together two hundred, in so many laps that each way of going away follows each other one.
LAPS = 10
STOPS, PAUSES, ARCHIVES, FORKS = 7, 7, 2, 4


def lap(daytona, sandbox, expected, number):
    """One lap; every cycle changes the files first, so that a step that brings old ones back is found."""
    for turn in range(STOPS):
        expected = tree.change(sandbox, f"{number}-stop-{turn}")
        sandbox.stop(force=turn % 2 == 1)
        sandbox.start()
        assert tree.digest(sandbox) == expected, f"stop {turn} of lap {number}"
    for turn in range(PAUSES):
        expected = tree.change(sandbox, f"{number}-pause-{turn}")
        sandbox.pause()
        assert sandbox.state == SandboxState.PAUSED
        sandbox.start()
        assert tree.digest(sandbox) == expected, f"pause {turn} of lap {number}"
    for turn in range(FORKS):
        expected = tree.change(sandbox, f"{number}-fork-{turn}")
        child = sandbox.fork()
        try:
            assert tree.digest(child) == expected, f"fork {turn} of lap {number}"
            tree.change(child, "of the child")
            assert tree.digest(sandbox) == expected, f"fork {turn} of lap {number}, its parent"
        finally:
            remove(daytona, child.id)
    for turn in range(ARCHIVES):
        expected = tree.change(sandbox, f"{number}-archive-{turn}")
        sandbox.stop()
        sandbox.archive()
        deadline = time.monotonic() + 60
        while sandbox.state != SandboxState.ARCHIVED:
            assert time.monotonic() < deadline, f"{sandbox.state}: {sandbox.error_reason}"
            time.sleep(0.02)
            sandbox.refresh_data()
        sandbox.start()
        assert tree.digest(sandbox) == expected, f"archive {turn} of lap {number}"
    return expected


@pytest.mark.timeout(600)
def test_two_hundred_cycles(create, daytona):
    assert LAPS * (STOPS + PAUSES + ARCHIVES + FORKS) == 200
    sandbox = create()
    expected = tree.fill(sandbox)
    for number in range(LAPS):
        expected = lap(daytona, sandbox, expected, number)
    # Every change of all laps is in the log, in its order, once.
    log = tree.run(sandbox, f"cat {tree.ROOT}/deep/log").split()
    assert len(log) == len(set(log)) == 200
    assert tree.digest(sandbox) == expected
