"""Snapshots of images, as the official SDK asks for them: made, found, listed, used, put out of use, deleted."""

import asyncio
import time
import uuid

import pytest
from daytona import (
    AsyncDaytona,
    CreateSandboxFromSnapshotParams,
    CreateSnapshotParams,
    DaytonaError,
    DaytonaNotFoundError,
    Resources,
)

import supply

PATIENCE_S = 120


@pytest.fixture(scope="module", autouse=True)
def login(raw):
    address, user, password = supply.registry()
    body = {"name": "e2e", "url": address, "username": user, "password": password}
    made = raw.api("POST", "/docker-registry", json=body).json()
    yield
    raw.api("DELETE", f"/docker-registry/{made['id']}")


@pytest.fixture
def names(daytona):
    """Names that nobody else uses, whose snapshots go after the case."""
    given = []

    def name(ending=""):
        given.append(f"e2e-{uuid.uuid4().hex[:8]}{ending}")
        return given[-1]

    yield name
    for known in given:
        try:
            daytona.snapshot.delete(daytona.snapshot.get(known))
        except DaytonaError:
            pass


def pulled(daytona, name, **fields):
    params = CreateSnapshotParams(name=name, image=supply.base(), **fields)
    return daytona.snapshot.create(params, timeout=PATIENCE_S)


def test_an_image_becomes_a_snapshot_that_makes_sandboxes(daytona, create, names):
    said = []
    name = names("/team:v1")
    entrypoint = ["sh", "-c", "echo ran > /tmp/ran; exec sleep 1000"]
    params = CreateSnapshotParams(
        name=name, image=supply.base(), resources=Resources(cpu=1, memory=2, disk=4), entrypoint=entrypoint
    )
    made = daytona.snapshot.create(params, on_logs=said.append, timeout=PATIENCE_S)
    assert (made.state, made.name, made.image_name, made.general) == ("active", name, supply.base(), False)
    assert (made.cpu, made.mem, made.disk, made.entrypoint) == (1, 2, 4, entrypoint)
    assert made.size > 0 and made.ref.startswith("daytona-")
    assert daytona.snapshot.get(name).id == made.id == daytona.snapshot.get(made.id).id
    sandbox = create(snapshot=name)
    assert (sandbox.snapshot, sandbox.memory) == (name, 2)
    done = sandbox.process.exec("echo $FROM_BASE; busybox | head -1")
    assert done.exit_code == 0 and done.result.startswith("yes\nBusyBox"), done.result
    assert sandbox.process.exec("until cat /tmp/ran; do sleep 0.05; done", timeout=60).result == "ran\n"
    assert daytona.snapshot.get(name).last_used_at is not None


@pytest.fixture(scope="module")
def default(raw):
    return raw.api("GET", "/config").json()["defaultSnapshot"]


def test_lists_are_paged_and_hold_everybodys(daytona, names, default):
    mine = {names() for _ in range(3)}
    for name in mine:
        pulled(daytona, name)
    seen, page = [], 1
    while True:
        listed = daytona.snapshot.list(page=page, limit=2)
        assert listed.page == page and len(listed.items) <= 2
        seen += listed.items
        page += 1
        if page > listed.total_pages:
            break
    assert len({snapshot.id for snapshot in seen}) == len(seen) == listed.total
    assert mine <= {snapshot.name for snapshot in seen}
    assert [snapshot.name for snapshot in seen if snapshot.general].count(default) == 1


def test_out_of_use_and_why_it_waits(daytona, raw, create, names):
    made = pulled(daytona, names())
    assert raw.api("POST", f"/snapshots/{made.id}/deactivate").status_code == 204
    assert daytona.snapshot.get(made.id).state == "inactive"
    with pytest.raises(DaytonaError, match="is inactive"):
        create(snapshot=made.name)
    # The SDK does not translate this one.
    with pytest.raises(Exception, match="10 minutes"):
        daytona.snapshot.activate(made)


def test_a_deleted_one_is_gone_and_its_sandboxes_live_on(daytona, create, names):
    made = pulled(daytona, names())
    sandbox = create(snapshot=made.name)
    daytona.snapshot.delete(made)
    with pytest.raises(DaytonaNotFoundError):
        daytona.snapshot.get(made.name)
    sandbox.stop(timeout=PATIENCE_S)
    sandbox.start(timeout=PATIENCE_S)
    assert sandbox.process.exec("echo still").result == "still\n"


def test_everybodys_is_not_ours_to_delete(daytona, default):
    with pytest.raises(DaytonaError, match="is general"):
        daytona.snapshot.delete(daytona.snapshot.get(default))


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"image": "debian:latest"}, "Images with tag \":latest\" are not allowed"),
        ({"image": "debian"}, "Image name must include a tag"),
        ({"name": "a b"}, "Invalid snapshot name format"),
        ({"resources": Resources(memory=100_000)}, "exceeds maximum allowed per sandbox"),
    ],
)
def test_what_breaks_a_rule_is_refused(daytona, names, fields, words):
    fields = {"name": names(), "image": "debian:12", **fields}
    with pytest.raises(DaytonaError) as caught:
        daytona.snapshot.create(CreateSnapshotParams(**fields), timeout=PATIENCE_S)
    assert words in str(caught.value)


def test_what_is_nowhere_says_so(daytona, names):
    name = names()
    image = f"{supply.registry()[0]}/nothing/here:1"
    with pytest.raises(DaytonaError):
        daytona.snapshot.create(CreateSnapshotParams(name=name, image=image), timeout=PATIENCE_S)
    failed = daytona.snapshot.get(name)
    assert failed.state == "error" and "nothing/here" in failed.error_reason


def test_the_async_client_makes_one_too(names):
    async def run():
        async with AsyncDaytona() as client:
            made = await client.snapshot.create(
                CreateSnapshotParams(name=names(), image=supply.base()), timeout=PATIENCE_S
            )
            params = CreateSandboxFromSnapshotParams(snapshot=made.name)
            sandbox = await client.create(params, timeout=PATIENCE_S)
            try:
                return (await sandbox.process.exec("echo $FROM_BASE")).result
            finally:
                await sandbox.delete()

    assert asyncio.run(run()) == "yes\n"


def test_deleting_the_order_ends_it(daytona, raw, names):
    body = {"name": names(), "imageName": supply.base()}
    asked = raw.api("POST", "/snapshots", json=body)
    assert asked.status_code == 200, asked.text
    assert raw.api("DELETE", f"/snapshots/{asked.json()['id']}").status_code == 200
    again = raw.api("POST", "/snapshots", json=body)
    assert again.status_code == 200, "its name is free at once"
    deadline = time.monotonic() + PATIENCE_S
    while daytona.snapshot.get(body["name"]).state != "active":
        assert time.monotonic() < deadline
        time.sleep(0.1)
