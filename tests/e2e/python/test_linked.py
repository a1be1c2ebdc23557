"""Sandboxes that are linked: they find each other by name and id, and nobody else finds them."""

import time

import pytest
from daytona import DaytonaNotFoundError

SERVE = (
    "nohup python3 -m http.server {port} --directory /tmp/told > /dev/null 2>&1 & "
    "for i in $(seq 100); do python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}))' "
    "2> /dev/null && exit 0; sleep 0.1; done; exit 1"
)


def serve(sandbox, port=8000):
    """Serves the sandbox's id over HTTP."""
    sandbox.process.exec(f"mkdir -p /tmp/told && echo -n {sandbox.id} > /tmp/told/id")
    assert sandbox.process.exec(SERVE.format(port=port)).exit_code == 0


def hear(sandbox, host, port=8000):
    """Returns whose id is served at a host; nothing when nobody answers."""
    code = f"import urllib.request as r; print(r.urlopen('http://{host}:{port}/id', timeout=3).read().decode())"
    answer = sandbox.process.exec(f'python3 -c "{code}" 2> /dev/null')
    return answer.result.strip() if answer.exit_code == 0 else ""


def resolve(sandbox, name):
    code = f"import socket; print(socket.gethostbyname('{name}'))"
    answer = sandbox.process.exec(f'python3 -c "{code}" 2> /dev/null')
    return answer.result.strip() if answer.exit_code == 0 else ""


@pytest.fixture
def pair(create, create_raw, run_id):
    """An owner and one that is linked to it."""
    owner = create(name=f"Owner-{run_id}")
    follower = create_raw(name=f"follower-{run_id}", linkedSandbox=owner.name, autoDeleteInterval=0)
    follower.wait_for_sandbox_start(60)
    return owner, follower


def egress(raw, sandbox):
    answer = raw.api("GET", f"/sandbox/{sandbox.id}/egress")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_they_find_each_other_by_name_and_id(pair, create, raw):
    owner, follower = pair
    assert raw.api("GET", f"/sandbox/{follower.id}").json()["linkedSandboxId"] == owner.id
    third = create()
    for sandbox in (owner, follower, third):
        serve(sandbox)
    for host in (owner.name, owner.name.lower(), owner.id):
        assert hear(follower, host) == owner.id, host
    for host in (follower.name, follower.id):
        assert hear(owner, host) == follower.id, host
    address = resolve(follower, owner.name)
    assert hear(follower, address) == owner.id
    for host in (owner.name, owner.id, address):
        assert hear(third, host) == "", host
    assert hear(owner, third.id) == ""
    decisions = egress(raw, follower)["decisions"]
    assert any(one["allowed"] and one["rule"] == "link" for one in decisions), decisions


def test_names_follow_a_stop_and_a_start_of_the_owner(pair):
    owner, follower = pair
    serve(owner)
    assert hear(follower, owner.name) == owner.id
    owner.stop()
    assert hear(follower, owner.name) == ""
    owner.start()
    serve(owner)
    assert hear(follower, owner.name) == owner.id
    serve(follower)
    assert hear(owner, follower.name) == follower.id


def test_a_shut_network_keeps_its_links(create, create_raw, run_id):
    owner = create(name=f"shut-{run_id}", network_block_all=True)
    follower = create_raw(linkedSandbox=owner.id, autoDeleteInterval=0, networkBlockAll=True)
    follower.wait_for_sandbox_start(60)
    serve(owner)
    serve(follower)
    assert hear(follower, owner.name) == owner.id
    assert hear(owner, follower.id) == follower.id
    assert resolve(follower, "example.com") == ""


def test_the_owner_takes_its_followers_along(pair, daytona):
    owner, follower = pair
    owner.delete(timeout=60, wait=True)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            daytona.get(follower.id)
        except DaytonaNotFoundError:
            return
        time.sleep(0.2)
    pytest.fail("the follower is still there")
