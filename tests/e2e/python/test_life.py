"""The full life of a sandbox: pause, archive, fork, snapshot, links, timers, as the official SDK asks for them."""

import datetime
import time

import pytest
from daytona import (
    CreateSandboxFromSnapshotParams,
    DaytonaBadRequestError,
    DaytonaConflictError,
    DaytonaError,
    DaytonaNotFoundError,
    ListSandboxesQuery,
    Resources,
    SandboxState,
)

import tree
from conftest import RUN_LABEL, remove


@pytest.fixture
def family(create, daytona):
    """Forks are deleted before what they were forked from: a parent of living forks stays."""
    children = []

    def fork(parent, **options):
        child = parent.fork(**options)
        children.append(child.id)
        return child

    yield fork
    for child in reversed(children):
        remove(daytona, child)


@pytest.fixture
def snapshots(daytona):
    """Snapshots that the case makes, by name; gone after it."""
    names = []
    yield names
    for name in names:
        try:
            daytona.snapshot.delete(daytona.snapshot.get(name))
        except DaytonaNotFoundError:
            pass


def wait_for(sandbox, state, seconds=60):
    deadline = time.monotonic() + seconds
    while sandbox.state != state:
        assert time.monotonic() < deadline, f"it is {sandbox.state}, not {state}: {sandbox.error_reason}"
        time.sleep(0.1)
        sandbox.refresh_data()


def soon(what):
    """Whether something comes true within a minute of asking."""
    deadline = time.monotonic() + 60
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def archive(sandbox):
    sandbox.archive()
    wait_for(sandbox, SandboxState.ARCHIVED)


def test_a_pause_keeps_memory_and_processes(create, raw):
    sandbox = create()
    sandbox.process.exec("nohup sh -c 'i=0; while :; do i=$((i+1)); echo $i > /dev/shm/count; sleep 0.02; done' > /dev/null 2>&1 &")
    pid = tree.run(sandbox, "pgrep -of 'i=0; while'").strip()
    token = sandbox.get_preview_link(3000).token
    sandbox.pause()
    assert sandbox.state == SandboxState.PAUSED
    assert raw.api("GET", f"/sandbox/{sandbox.id}").json()["state"] == "paused"
    with pytest.raises(DaytonaError) as caught:
        sandbox.process.exec("echo on")
    assert 400 <= caught.value.status_code < 500, "a paused sandbox says so at once"
    sandbox.start()
    assert sandbox.state == SandboxState.STARTED
    first = int(tree.run(sandbox, "cat /dev/shm/count"))
    assert tree.run(sandbox, "pgrep -of 'i=0; while'").strip() == pid
    assert soon(lambda: int(tree.run(sandbox, "cat /dev/shm/count || echo 0") or 0) > first), "it goes on where it was"
    assert sandbox.get_preview_link(3000).token == token, "links to it live on"


def test_a_paused_sandbox_stands_still(create):
    sandbox = create()
    sandbox.process.exec("nohup sh -c 'while :; do date +%s%N >> /home/daytona/ticks; sleep 0.05; done' > /dev/null 2>&1 &")
    count = lambda: int(tree.run(sandbox, "cat /home/daytona/ticks 2>/dev/null | wc -l"))
    assert soon(lambda: count() > 2)
    sandbox.pause()
    time.sleep(2)
    sandbox.start()
    before = count()
    assert soon(lambda: count() > before + 2)
    ticks = [int(line) for line in tree.run(sandbox, "cat /home/daytona/ticks").split()]
    longest = max(later - earlier for earlier, later in zip(ticks, ticks[1:]))
    assert longest > 1.5e9, "it ticked all the while"


def test_stop_and_delete_while_paused(create, daytona):
    sandbox = create()
    expected = tree.fill(sandbox)
    sandbox.pause()
    sandbox.stop()
    assert sandbox.state == SandboxState.STOPPED
    sandbox.start()
    assert tree.digest(sandbox) == expected
    sandbox.pause()
    sandbox.delete(wait=True)
    with pytest.raises(DaytonaNotFoundError):
        daytona.get(sandbox.id)


def test_pause_twice_and_of_what_does_not_run(create):
    sandbox = create()
    sandbox.pause()
    sandbox.pause()
    assert sandbox.state == SandboxState.PAUSED
    sandbox.stop()
    with pytest.raises(DaytonaError) as caught:
        sandbox.pause()
    assert caught.value.status_code in (400, 409)


def test_a_forced_stop_does_not_ask(create):
    sandbox = create()
    sandbox.process.exec("nohup sh -c 'trap \"touch /home/daytona/asked\" TERM; while :; do sleep 0.1; done' > /dev/null 2>&1 &")
    time.sleep(0.2)
    sandbox.stop(force=True)
    assert sandbox.state == SandboxState.STOPPED
    sandbox.start()
    assert tree.run(sandbox, "ls -A /home/daytona | grep -c asked || true").strip() == "0"


def test_archive_and_restore_bring_every_file_back(create):
    sandbox = create(env_vars={"KEPT": "yes"})
    expected = tree.fill(sandbox)
    token = sandbox.get_preview_link(3000).token
    sandbox.stop()
    archive(sandbox)
    with pytest.raises(DaytonaError) as caught:
        sandbox.process.exec("echo off")
    assert 400 <= caught.value.status_code < 500
    sandbox.start()
    assert sandbox.state == SandboxState.STARTED
    assert tree.digest(sandbox) == expected
    assert tree.run(sandbox, "echo $KEPT") == "yes\n"
    assert sandbox.get_preview_link(3000).token != token, "a start that is no resume makes old links die"
    # Once more: what was archived before is not what is archived now.
    changed = tree.change(sandbox, 2)
    assert changed != expected
    sandbox.stop()
    archive(sandbox)
    sandbox.start()
    assert tree.digest(sandbox) == changed


def test_what_cannot_be_archived(create, daytona):
    running = create()
    with pytest.raises(DaytonaBadRequestError):
        running.archive()
    assert daytona.get(running.id).state == SandboxState.STARTED
    ephemeral = create(ephemeral=True)
    with pytest.raises(DaytonaBadRequestError):
        ephemeral.archive()


def test_delete_while_archived(create, daytona):
    sandbox = create()
    sandbox.stop()
    archive(sandbox)
    sandbox.delete(wait=True)
    with pytest.raises(DaytonaNotFoundError):
        daytona.get(sandbox.id)


def test_a_fork_of_a_running_sandbox_is_a_world_of_its_own(create, family, daytona, raw, run_id):
    parent = create(env_vars={"KEPT": "yes"}, labels={"of": "parent"})
    expected = tree.fill(parent)
    child = family(parent, name=f"fork-{run_id}")
    assert child.state == SandboxState.STARTED and child.id != parent.id
    assert daytona.get(f"fork-{run_id}").id == child.id
    assert tree.digest(child) == expected
    assert tree.run(child, "echo $KEPT") == "yes\n"
    assert child.labels["of"] == "parent"
    changed = tree.change(child, 1)
    assert changed != expected and tree.digest(parent) == expected
    again = tree.change(parent, 2)
    assert again not in (changed, expected) and tree.digest(child) == changed
    grandchild = family(child)
    assert tree.digest(grandchild) == changed

    def ids(path):
        answer = raw.api("GET", path)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        items = body if isinstance(body, list) else body.get("items", [body])
        return [item["id"] for item in items]

    assert ids(f"/sandbox/{parent.id}/forks") == [child.id]
    assert ids(f"/sandbox/{grandchild.id}/parent") == [child.id]
    assert ids(f"/sandbox/{grandchild.id}/ancestors") == [parent.id, child.id]
    with pytest.raises(DaytonaBadRequestError):
        parent.delete()
    assert tree.digest(parent) == again
    # A stop and a start do not mix them up either.
    child.stop()
    child.start()
    assert tree.digest(child) == changed


def test_a_fork_of_a_stopped_sandbox(create, family):
    parent = create()
    expected = tree.fill(parent)
    parent.stop()
    child = family(parent)
    assert tree.digest(child) == expected
    assert parent.state == SandboxState.STOPPED


@pytest.mark.parametrize("is_running", [True, False])
def test_a_snapshot_of_a_sandbox(create, daytona, snapshots, run_id, is_running):
    source = create()
    expected = tree.fill(source)
    if not is_running:
        source.stop()
    name = f"saved-{run_id}-{is_running}"
    snapshots.append(name)
    source.create_snapshot(name)
    assert source.state == (SandboxState.STARTED if is_running else SandboxState.STOPPED)
    deadline = time.monotonic() + 60
    while (saved := daytona.snapshot.get(name)).state != "active":
        assert time.monotonic() < deadline, saved
        time.sleep(0.1)
    assert name in [item.name for item in daytona.snapshot.list().items]
    with pytest.raises(DaytonaConflictError):
        source.create_snapshot(name)
    if not is_running:
        source.start()
    tree.change(source, 9)
    first = create(snapshot=name)
    assert tree.digest(first) == expected
    assert first.snapshot == name
    # It outlives what it was taken of, and what is made from it does not change it.
    source.delete(wait=True)
    tree.change(first, 1)
    assert tree.digest(create(snapshot=name)) == expected
    daytona.snapshot.delete(daytona.snapshot.get(name))
    with pytest.raises(DaytonaNotFoundError):
        daytona.snapshot.get(name)
    with pytest.raises(DaytonaBadRequestError):
        create(snapshot=name)
    assert tree.run(first, "cat /etc/kept.conf") == "1\n", "what was made from it goes on without it"


def test_only_what_failed_is_recovered(create, raw):
    sandbox = create()
    with pytest.raises(DaytonaBadRequestError):
        sandbox.recover()
    assert raw.api("POST", f"/sandbox/{sandbox.id}/recover?skipStart=true").status_code == 400
    assert tree.run(sandbox, "echo on") == "on\n"


def test_resize(create):
    sandbox = create()
    sandbox.resize(Resources(cpu=2, memory=2))
    assert (sandbox.state, sandbox.cpu, sandbox.memory) == (SandboxState.STARTED, 2, 2)
    sandbox.stop()
    sandbox.resize(Resources(disk=4))
    assert (sandbox.state, sandbox.disk) == (SandboxState.STOPPED, 4)
    sandbox.start()
    assert 3.5 * 2**30 < sandbox.get_metrics_latest().disk_total <= 4 * 2**30


def test_intervals(create, daytona):
    sandbox = create()
    sandbox.set_autostop_interval(0)
    sandbox.set_auto_pause_interval(7)
    sandbox.set_auto_archive_interval(0)
    sandbox.set_auto_delete_interval(90)
    sandbox.set_ttl(600)
    found = daytona.get(sandbox.id)
    assert (found.auto_stop_interval, found.auto_pause_interval) == (0, 7)
    assert (found.auto_archive_interval, found.auto_delete_interval) == (43_200, 90)
    at = datetime.datetime.fromisoformat(found.auto_destroy_at.replace("Z", "+00:00"))
    made = datetime.datetime.fromisoformat(found.created_at.replace("Z", "+00:00"))
    assert abs((at - made).total_seconds() - 36_000) < 120
    with pytest.raises(DaytonaBadRequestError):
        create(auto_stop_interval=5, auto_pause_interval=5)
    sandbox.set_auto_pause_interval(0)
    sandbox.set_ttl(0)
    found = daytona.get(sandbox.id)
    assert found.auto_pause_interval == 0 and found.auto_destroy_at is None


def test_an_ephemeral_sandbox_goes_when_it_stops(create, daytona):
    sandbox = create(ephemeral=True, ttl_minutes=5)
    assert sandbox.auto_delete_interval == 0 and sandbox.auto_destroy_at
    sandbox.stop()
    with pytest.raises(DaytonaNotFoundError):
        daytona.get(sandbox.id)


def test_linked_sandboxes_reach_each_other_by_name_and_go_together(create, daytona, run_id):
    owner = create(name=f"owner-{run_id}")
    tree.run(owner, "cd /tmp && echo hello > page && nohup python3 -m http.server 8000 > /dev/null 2>&1 &")
    follower = create(name=f"follower-{run_id}", linked_sandbox=owner.id, ephemeral=True)
    tree.run(follower, "cd /tmp && echo back > page && nohup python3 -m http.server 8000 > /dev/null 2>&1 &")
    fetch = "for try in $(seq 50); do python3 -c 'import urllib.request as u; print(u.urlopen(\"http://{}:8000/page\", timeout=2).read().decode(), end=\"\")' 2> /dev/null && break; sleep 0.1; done"
    for name in (f"owner-{run_id}", owner.id):
        assert tree.run(follower, fetch.format(name)) == "hello\n"
    for name in (f"follower-{run_id}", follower.id):
        assert tree.run(owner, fetch.format(name)) == "back\n"
    with pytest.raises(DaytonaBadRequestError):
        create(linked_sandbox=owner.id, auto_delete_interval=60)
    with pytest.raises(DaytonaBadRequestError):
        create(linked_sandbox=follower.id, ephemeral=True)
    owner.delete(wait=True)
    deadline = time.monotonic() + 60
    while True:
        try:
            daytona.get(follower.id)
        except DaytonaNotFoundError:
            break
        assert time.monotonic() < deadline, "it outlives what it was linked to"
        time.sleep(0.1)


def test_labels_and_activity(create, daytona):
    sandbox = create()
    labels = {RUN_LABEL: sandbox.labels[RUN_LABEL], "quote\"d": "v,a\\lue", "ü": ""}
    assert sandbox.set_labels(labels) == labels
    found = list(daytona.list(ListSandboxesQuery(labels={"quote\"d": "v,a\\lue", "ü": ""})))
    assert [item.id for item in found] == [sandbox.id]
    before = daytona.get(sandbox.id).last_activity_at
    time.sleep(0.01)
    sandbox.refresh_activity()
    assert daytona.get(sandbox.id).last_activity_at > before


def test_lists_find_every_state(create, daytona, run_id):
    mark = {"case": f"states-{run_id}"}
    started, paused, stopped, archived = (create(labels=mark, ttl_minutes=ttl) for ttl in (None, 60, None, 600))
    paused.pause()
    stopped.stop()
    archived.stop()
    archive(archived)

    def found(**query):
        return {item.id for item in daytona.list(ListSandboxesQuery(labels=mark, **query))}

    everything = {started.id, paused.id, stopped.id, archived.id}
    assert found() == everything
    assert found(limit=1) == everything
    for sandbox, state in (
        (started, SandboxState.STARTED),
        (paused, SandboxState.PAUSED),
        (stopped, SandboxState.STOPPED),
        (archived, SandboxState.ARCHIVED),
    ):
        assert found(states=[state]) == {sandbox.id}, state
    assert found(states=[SandboxState.STOPPED, SandboxState.ARCHIVED]) == {stopped.id, archived.id}
    now = datetime.datetime.now(datetime.timezone.utc)
    soon = now + datetime.timedelta(hours=2)
    assert found(auto_destroy_at_after=soon) == {archived.id}
    assert found(auto_destroy_at_before=soon) == {paused.id}
    assert found(is_recoverable=True) == set()
    assert found(is_recoverable=False, max_cpu=1, min_memory_gib=1, targets=["us"]) == everything
    assert found(created_at_after=now) == set()
