"""What every case stands on: a client of the official SDK, and sandboxes that never outlive their case."""

import os
import uuid

import pytest
from daytona import CreateSandboxFromSnapshotParams, Daytona, DaytonaNotFoundError, ListSandboxesQuery

import wire

# Marks every sandbox of this run, so that what is left over can be told from what others made.
RUN_LABEL = "e2e-run"

# The snapshot with what an agent's whole working day needs: deploy/images/toolbox.toml.
TOOLBOX = "toolbox"

# The files that take longest: who begins with them does not wait for them at the end.
LONGEST = ("test_soak.py", "test_limits.py", "test_transfer.py", "test_lsp.py", "test_code.py")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def run_id():
    return uuid.uuid4().hex[:12]


@pytest.fixture(scope="session")
def daytona():
    """A client that reads DAYTONA_API_URL and DAYTONA_API_KEY, as a user's would."""
    for name in ("DAYTONA_API_URL", "DAYTONA_API_KEY"):
        assert os.environ.get(name), f"{name} is not set; run `cargo x e2e python`"
    return Daytona()


@pytest.fixture(scope="session")
def raw():
    """Plain HTTP to the same server, for what the SDK would never send."""
    return wire.Api(os.environ["DAYTONA_API_URL"], os.environ["DAYTONA_API_KEY"])


def remove(daytona, sandbox_id):
    try:
        daytona.get(sandbox_id).delete(timeout=60, wait=True)
    except DaytonaNotFoundError:
        pass


@pytest.fixture
def create(daytona, run_id):
    """Makes sandboxes and deletes them after the case, whatever the case did with them."""
    made = []

    def make(**params):
        params["labels"] = {**params.get("labels", {}), RUN_LABEL: run_id}
        sandbox = daytona.create(CreateSandboxFromSnapshotParams(**params), timeout=60)
        made.append(sandbox.id)
        return sandbox

    yield make
    for sandbox_id in made:
        remove(daytona, sandbox_id)


@pytest.fixture
def create_raw(daytona, raw, run_id):
    """Makes sandboxes with fields that the SDK sends only together with an image, such as sizes."""
    made = []

    def make(**fields):
        fields["labels"] = {**fields.get("labels", {}), RUN_LABEL: run_id}
        answer = raw.api("POST", "/sandbox", json=fields)
        assert answer.status_code == 200, answer.text
        made.append(answer.json()["id"])
        return daytona.get(made[-1])

    yield make
    for sandbox_id in made:
        remove(daytona, sandbox_id)


@pytest.fixture(scope="module")
def box(daytona, run_id):
    """One sandbox for all cases of a file that do not change what a sandbox is."""
    params = CreateSandboxFromSnapshotParams(labels={RUN_LABEL: run_id})
    sandbox = daytona.create(params, timeout=60)
    yield sandbox
    remove(daytona, sandbox.id)


@pytest.fixture(scope="module")
def toolbox(daytona, run_id):
    """One sandbox of the toolbox image for all cases of a file: git, vim, charts and language servers are there."""
    params = CreateSandboxFromSnapshotParams(snapshot=TOOLBOX, labels={RUN_LABEL: run_id})
    sandbox = daytona.create(params, timeout=60)
    yield sandbox
    remove(daytona, sandbox.id)


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left(daytona, run_id):
    """After all cases no sandbox of this run is left."""
    yield
    left = [sandbox.id for sandbox in daytona.list(ListSandboxesQuery(labels={RUN_LABEL: run_id}))]
    assert left == [], f"sandboxes left over: {left}"
