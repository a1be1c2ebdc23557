"""Warm pools: sandboxes that run before they are asked for. Each case has a snapshot of its own: whoever else creates
sandboxes meanwhile takes none of them."""

import asyncio
import time

import pytest
from daytona import AsyncDaytona, CreateSandboxFromSnapshotParams, DaytonaNotFoundError
from daytona_api_client.exceptions import ApiException

from conftest import RUN_LABEL, remove

PATIENCE_S = 120


def until(what, reached):
    """Waits until something is so; what it is then."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = reached()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"never came true: {what}")


def find(daytona, pool_id):
    return next((pool for pool in daytona.warm_pool.list() if pool.id == pool_id), None)


def until_ready(daytona, pool_id, count):
    until(f"{count} are ready", lambda: find(daytona, pool_id).current_size == count)


def waiting(raw, pool_id):
    items = raw.api("GET", "/sandbox", params={"includeWarm": "true", "limit": 200}).json()["items"]
    return {item["id"] for item in items if item.get("warmPoolId") == pool_id}


@pytest.fixture(scope="module")
def snapshot(daytona, run_id):
    sandbox = daytona.create(CreateSandboxFromSnapshotParams(labels={RUN_LABEL: run_id}), timeout=60)
    name = f"warm-{run_id}"
    try:
        sandbox.process.exec("echo of the snapshot > /tmp/mark")
        sandbox.create_snapshot(name)
    finally:
        remove(daytona, sandbox.id)
    yield name
    daytona.snapshot.delete(daytona.snapshot.get(name))


@pytest.fixture
def pool(daytona, snapshot):
    made = daytona.warm_pool.create(snapshot, pool=2)
    yield made
    try:
        daytona.warm_pool.delete(made.id)
    except Exception as error:  # pylint: disable=broad-except
        assert getattr(error, "status", None) == 404 or isinstance(error, DaytonaNotFoundError), error


def test_a_create_takes_one_that_runs_already(daytona, raw, pool, snapshot, create, run_id):
    assert (pool.snapshot, pool.pool) == (snapshot, 2)
    until_ready(daytona, pool.id, 2)
    ready = waiting(raw, pool.id)
    assert len(ready) == 2
    shown = {sandbox.id for sandbox in daytona.list()}
    assert not ready & shown, "what waits is not listed"
    name = f"taken-{run_id}"
    sandbox = create(snapshot=snapshot, name=name, auto_stop_interval=7)
    assert sandbox.id in ready, "it was made anew"
    assert (sandbox.name, sandbox.auto_stop_interval, sandbox.state) == (name, 7, "started")
    assert sandbox.labels[RUN_LABEL] == run_id
    assert sandbox.process.exec("cat /tmp/mark").result.strip() == "of the snapshot"
    assert daytona.get(name).id == sandbox.id
    until_ready(daytona, pool.id, 2)
    assert sandbox.id not in waiting(raw, pool.id)


def test_what_waits_is_out_of_reach(daytona, raw, pool):
    until_ready(daytona, pool.id, 2)
    one = waiting(raw, pool.id).pop()
    sandbox = daytona.get(one)
    answer = raw.toolbox(sandbox, "POST", "/process/execute", json={"command": "true"})
    assert answer.status_code == 404, answer.text
    answer = raw.api("POST", f"/sandbox/{one}/stop")
    assert answer.status_code == 409, answer.text
    assert "warm pool" in answer.json()["message"]


def test_its_own_settings_hold_from_the_first_moment(daytona, raw, pool, snapshot, create):
    until_ready(daytona, pool.id, 2)
    ready = waiting(raw, pool.id)
    sandbox = create(snapshot=snapshot, network_block_all=True)
    assert sandbox.id in ready
    assert sandbox.network_block_all
    tried = sandbox.process.exec("python3 -c \"import socket; socket.create_connection(('192.0.2.1', 80), 3)\"")
    assert tried.exit_code != 0
    other = create(snapshot=snapshot, env_vars={"A": "b"})
    assert other.id not in ready
    assert other.process.exec("echo $A").result.strip() == "b"


def test_a_pool_is_resized_drained_and_deleted(daytona, raw, pool):
    until_ready(daytona, pool.id, 2)
    assert daytona.warm_pool.update(pool.id, pool=3).pool == 3
    until_ready(daytona, pool.id, 3)
    daytona.warm_pool.update(pool.id, pool=0)
    until("nobody waits", lambda: not waiting(raw, pool.id))
    daytona.warm_pool.update(pool.id, pool=1)
    until_ready(daytona, pool.id, 1)
    daytona.warm_pool.delete(pool.id)
    assert find(daytona, pool.id) is None
    until("nobody waits", lambda: not waiting(raw, pool.id))


def test_one_pool_for_each_snapshot(daytona, pool, snapshot):
    with pytest.raises(ApiException) as refused:
        daytona.warm_pool.create(snapshot, pool=1)
    assert refused.value.status == 409
    with pytest.raises(ApiException) as refused:
        daytona.warm_pool.create("no-such-snapshot", pool=1)
    assert refused.value.status == 400


def test_what_dies_is_replaced(daytona, raw, pool):
    until_ready(daytona, pool.id, 2)
    ready = waiting(raw, pool.id)
    gone = sorted(ready)[0]
    assert raw.api("DELETE", f"/sandbox/{gone}").status_code == 200
    until("another waits", lambda: len(waiting(raw, pool.id) - {gone}) == 2)


def test_the_asynchronous_client(pool, snapshot):
    async def case():
        async with AsyncDaytona() as daytona:
            pools = await daytona.warm_pool.list()
            assert any(known.id == pool.id and known.snapshot == snapshot for known in pools)
            changed = await daytona.warm_pool.update(pool.id, 1)
            assert changed.pool == 1

    asyncio.run(case())
