"""What becomes of sandboxes, told over sockets: the SDKs' waits end by it, and not because they asked again."""

import asyncio
import json
import os
import time

import pytest
import socketio
import websocket
from daytona import AsyncDaytona, CreateSandboxFromSnapshotParams, Daytona, DaytonaConfig

from between import Between
from conftest import RUN_LABEL

# A process that does not end when it is asked to: a stop takes its whole grace time, longer than the request waits.
STUBBORN = """
sh -c 'trap "" TERM; touch /tmp/ready; while :; do sleep 1; done' >/dev/null 2>&1 &
until [ -e /tmp/ready ]; do sleep 0.05; done
"""
PATIENCE_S = 60


@pytest.fixture
def between():
    with Between(os.environ["DAYTONA_API_URL"]) as between:
        yield between


def config(between):
    return DaytonaConfig(api_key=os.environ["DAYTONA_API_KEY"], api_url=between.url)


def soon(holds, what):
    """Waits until something holds that must come to hold."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"not in {PATIENCE_S} s: {what}"
        time.sleep(0.05)


def is_welcome(between):
    return lambda: any(who == "server" and text.startswith("40{") for who, text in list(between.said))


def assert_ended_by_event(between, sandbox_id):
    """Whoever asked was told that the sandbox still stops; only the event said that it has."""
    told = [state for known, state in between.polled if known == sandbox_id]
    assert told and set(told) == {"stopping"}, told
    ends = [event for event in between.events("sandbox.state.updated") if event["sandbox"]["id"] == sandbox_id]
    assert [(event["oldState"], event["newState"]) for event in ends][-1] == ("stopping", "stopped")
    # The whole sandbox is in it, as the API shows it.
    assert ends[-1]["sandbox"]["state"] == "stopped"
    assert ends[-1]["sandbox"]["toolboxProxyUrl"]


def test_a_wait_of_the_sync_sdk_ends_by_event(between, run_id):
    client = Daytona(config(between))
    soon(is_welcome(between), "the SDK connects")
    sandbox = client.create(CreateSandboxFromSnapshotParams(labels={RUN_LABEL: run_id}), timeout=PATIENCE_S)
    try:
        sandbox.process.exec(STUBBORN)
        between.freeze()
        sandbox.stop(timeout=PATIENCE_S)
        assert_ended_by_event(between, sandbox.id)
    finally:
        between.frozen = None
        sandbox.delete()


def test_a_wait_of_the_async_sdk_ends_by_event(between, run_id):
    async def case():
        async with AsyncDaytona(config(between)) as client:
            sandbox = await client.create(
                CreateSandboxFromSnapshotParams(labels={RUN_LABEL: run_id}), timeout=PATIENCE_S
            )
            try:
                await sandbox.process.exec(STUBBORN)
                await asyncio.to_thread(soon, is_welcome(between), "the SDK connects")
                between.freeze()
                await sandbox.stop(timeout=PATIENCE_S)
                assert_ended_by_event(between, sandbox.id)
            finally:
                between.frozen = None
                await sandbox.delete()

    asyncio.run(case())


def test_a_life_is_told_in_order(between, raw, run_id):
    """Heard with the protocol's own client: each event once, in order, the wish before what comes of it."""
    heard = []
    client = socketio.Client(reconnection=False)
    names = ("sandbox.created", "sandbox.state.updated", "sandbox.desired-state.updated")
    for name in names:
        client.on(name, lambda payload, name=name: heard.append((name, payload)))
    origin, _, path = os.environ["DAYTONA_API_URL"].rpartition("/")
    options = {"socketio_path": f"/{path}/socket.io/", "transports": ["websocket"], "wait_timeout": PATIENCE_S}
    client.connect(origin, auth={"token": os.environ["DAYTONA_API_KEY"]}, **options)
    made = raw.api("POST", "/sandbox", json={"labels": {RUN_LABEL: run_id}}).json()
    raw.api("POST", f"/sandbox/{made['id']}/stop")
    raw.api("DELETE", f"/sandbox/{made['id']}")

    def mine():
        return [event for event in list(heard) if event[1].get("sandbox", event[1])["id"] == made["id"]]

    soon(lambda: mine() and mine()[-1][1].get("newState") == "destroyed", "the last event")
    client.disconnect()
    assert [name for name, _ in mine()].count("sandbox.created") == 1
    assert mine()[0][0] == "sandbox.created"
    states = [payload for name, payload in mine() if name == "sandbox.state.updated"]
    wishes = [payload for name, payload in mine() if name == "sandbox.desired-state.updated"]
    # Every event begins where the one before ended.
    assert [event["oldState"] for event in states][1:] == [event["newState"] for event in states][:-1]
    assert [event["newState"] for event in states if event["newState"] in ("started", "stopped", "destroyed")] == [
        "started",
        "stopped",
        "destroyed",
    ]
    assert [(event["oldDesiredState"], event["newDesiredState"]) for event in wishes] == [
        ("started", "stopped"),
        ("stopped", "destroyed"),
    ]


def test_pings_keep_an_idle_client_for_many_intervals(between, caplog, capfd):
    client = Daytona(config(between))
    soon(is_welcome(between), "the SDK connects")
    opened = next(text for who, text in list(between.said) if who == "server" and text.startswith("0{"))
    interval_s = json.loads(opened[1:])["pingInterval"] / 1000
    if interval_s > 5:
        pytest.skip(f"this server pings every {interval_s:.0f} s; `cargo x e2e` starts one that does so every second")
    pings = 4
    soon(lambda: between.count("client", "3") >= pings, "answers to pings")
    assert between.count("server", "2") >= pings
    # One socket all the while.
    assert sum(1 for who, text in list(between.said) if who == "server" and text.startswith("0{")) == 1
    assert "packet queue is empty" not in caplog.text + "".join(capfd.readouterr())
    assert client is not None


def test_strangers_hear_nothing():
    url = os.environ["DAYTONA_API_URL"].replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket"
    for said in ('40{"token":"dtn_wrong"}', "40", '40{"token":"a.b.c"}'):
        stranger = websocket.create_connection(url, timeout=PATIENCE_S)
        assert stranger.recv().startswith('0{"')
        stranger.send(said)
        assert stranger.recv() == '44{"message":"Unauthorized"}'
        stranger.close()


def test_polling_is_refused_as_the_protocol_says(raw):
    answer = raw.api("GET", "/socket.io/?EIO=4&transport=polling")
    assert (answer.status_code, answer.json()) == (400, {"code": 0, "message": "Transport unknown"})


def test_a_snapshot_is_told(raw, create, run_id):
    heard = []
    client = socketio.Client(reconnection=False)
    for name in ("snapshot.created", "snapshot.state.updated", "snapshot.removed"):
        client.on(name, lambda payload, name=name: heard.append((name, payload)))
    origin, _, path = os.environ["DAYTONA_API_URL"].rpartition("/")
    options = {"socketio_path": f"/{path}/socket.io/", "transports": ["websocket"], "wait_timeout": PATIENCE_S}
    client.connect(origin, auth={"token": os.environ["DAYTONA_API_KEY"]}, **options)
    name = f"told-{run_id}"
    create().create_snapshot(name, timeout=PATIENCE_S)

    def mine():
        return [(known, told) for known, told in list(heard) if told.get("snapshot", told)["name"] == name]

    soon(lambda: mine() and mine()[-1][1].get("newState") == "active", "the snapshot is there")
    assert raw.api("DELETE", f"/snapshots/{mine()[0][1]['id']}").status_code == 200
    soon(lambda: mine()[-1][0] == "snapshot.removed", "the snapshot is gone")
    client.disconnect()
    assert mine()[0][0] == "snapshot.created"
    assert mine()[0][1]["state"] == "snapshotting"
    assert [known for known, _ in mine()].count("snapshot.removed") == 1
