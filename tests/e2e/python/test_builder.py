"""The declarative builder, as the official SDK writes its Dockerfiles; contexts apart."""

import asyncio
import re
import uuid

import pytest
from daytona import (
    AsyncDaytona,
    CreateSandboxFromImageParams,
    CreateSnapshotParams,
    DaytonaError,
    Image,
    Resources,
)

import supply

PATIENCE_S = 180


@pytest.fixture(scope="module", autouse=True)
def login(raw):
    address, user, password = supply.registry()
    body = {"name": "e2e", "url": address, "username": user, "password": password}
    made = raw.api("POST", "/docker-registry", json=body).json()
    yield
    raw.api("DELETE", f"/docker-registry/{made['id']}")


@pytest.fixture
def make(daytona, run_id):
    """Makes sandboxes of images and deletes them after the case."""
    made = []

    def from_image(image, on_logs=None, **fields):
        params = CreateSandboxFromImageParams(image=image, labels={"e2e-run": run_id}, **fields)
        sandbox = daytona.create(params, timeout=PATIENCE_S, on_snapshot_create_logs=on_logs)
        made.append(sandbox)
        return sandbox

    yield from_image
    for sandbox in made:
        sandbox.delete(timeout=60)


def fresh(image):
    """What no other case has built."""
    return image.env({"RUN_OF": uuid.uuid4().hex})


def declared():
    return (
        fresh(Image.base(supply.base()))
        .run_commands("mkdir -p /work/made", ["sh", "-c", "echo by exec > /work/made/exec"])
        .env({"TWO_WORDS": "of two", "PLAIN": "one"})
        .workdir("/work/made")
        .dockerfile_commands(["RUN pwd > where && echo $TWO_WORDS > words", "LABEL of=tests"])
    )


def test_a_declared_image_makes_a_sandbox_and_tells_of_it(make):
    said = []
    sandbox = make(declared(), on_logs=said.append, resources=Resources(cpu=1, memory=1, disk=3))
    done = sandbox.process.exec("cat exec where words; echo $PLAIN $TWO_WORDS $FROM_BASE; pwd")
    assert done.result.splitlines() == ["by exec", "/work/made", "of two", "one of two yes", "/work/made"]
    words = "\n".join(said)
    assert "mkdir -p /work/made" in words, words


def test_the_words_stay_and_end(make, raw):
    said = []
    sandbox = make(declared(), on_logs=said.append)
    url = raw.api("GET", f"/sandbox/{sandbox.id}/build-logs-url").json()["url"]
    assert "?" not in url
    for path in (f"/sandbox/{sandbox.id}/build-logs?follow=true", f"/sandbox/{sandbox.id}/build-logs"):
        text = raw.api("GET", path).text
        assert "mkdir -p /work/made" in text


def test_a_bare_name_is_an_image(make):
    sandbox = make(supply.base())
    assert sandbox.process.exec("echo $FROM_BASE").result == "yes\n"


def test_a_declared_image_becomes_a_snapshot_and_its_twin_is_not_built_again(daytona, create):
    # The SDK asks once a second how far it is, and listens once it hears that it is being built.
    image, said, again = declared().run_commands("sleep 4", "echo slept"), [], []
    names = [f"e2e-{uuid.uuid4().hex[:8]}" for _ in range(2)]
    one = daytona.snapshot.create(CreateSnapshotParams(name=names[0], image=image), on_logs=said.append, timeout=PATIENCE_S)
    two = daytona.snapshot.create(CreateSnapshotParams(name=names[1], image=image), on_logs=again.append, timeout=PATIENCE_S)
    assert (one.state, two.state) == ("active", "active") and one.ref == two.ref
    assert one.build_info.dockerfile_content == image.dockerfile()
    assert any("sleep 4" in line for line in said), said
    daytona.snapshot.delete(one)
    assert create(snapshot=names[1]).process.exec("cat /work/made/exec").result == "by exec\n"
    daytona.snapshot.delete(two)


def test_a_build_that_fails_says_where(daytona, raw, make):
    image = fresh(Image.base(supply.base())).run_commands("echo before >&2", "exit 7")
    with pytest.raises(DaytonaError, match="BUILD_FAILED") as caught:
        make(image)
    # The SDK was told of the state alone; whoever asks is told why.
    known = re.search(r"Sandbox ([0-9a-f-]{36})", str(caught.value))[1]
    failed = raw.api("GET", f"/sandbox/{known}").json()
    assert failed["state"] == "build_failed" and "exit code 7" in failed["errorReason"], failed
    assert raw.api("DELETE", f"/sandbox/{known}").status_code == 200
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    with pytest.raises(DaytonaError):
        daytona.snapshot.create(CreateSnapshotParams(name=name, image=image), timeout=PATIENCE_S)
    failed = daytona.snapshot.get(name)
    assert failed.state == "build_failed" and "exit code 7" in failed.error_reason, failed
    daytona.snapshot.delete(failed)


def test_what_is_no_dockerfile_says_so(daytona):
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    image = Image.base(supply.base()).dockerfile_commands(["FRMO nothing"])
    with pytest.raises(DaytonaError):
        daytona.snapshot.create(CreateSnapshotParams(name=name, image=image), timeout=PATIENCE_S)
    failed = daytona.snapshot.get(name)
    assert failed.state == "build_failed" and "FRMO" in failed.error_reason, failed
    daytona.snapshot.delete(failed)


def test_the_async_client_builds_too():
    async def run():
        said = []
        async with AsyncDaytona() as client:
            params = CreateSandboxFromImageParams(image=declared())
            sandbox = await client.create(params, timeout=PATIENCE_S, on_snapshot_create_logs=said.append)
            try:
                return (await sandbox.process.exec("cat exec")).result, said
            finally:
                await sandbox.delete()

    result, said = asyncio.run(run())
    assert result == "by exec\n" and said
