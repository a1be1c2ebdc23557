"""Registries of an organisation, which the SDK does not know: plain HTTP, as the dashboard and the CLI send it."""

import uuid

import pytest

import supply

PATH = "/docker-registry"


@pytest.fixture
def login(raw):
    """Adds this run's registry, and removes it again."""
    made = []

    def add(**fields):
        address, user, password = supply.registry()
        body = {"name": "e2e", "url": address, "username": user, "password": password, **fields}
        answer = raw.api("POST", PATH, json=body)
        assert answer.status_code == 201, answer.text
        made.append(answer.json()["id"])
        return answer.json()

    yield add
    for known in made:
        raw.api("DELETE", f"{PATH}/{known}")


def test_a_registry_comes_and_goes_without_its_password(raw, login):
    made = login(project="team")
    assert (made["registryType"], made["project"], made["url"]) == ("organization", "team", supply.registry()[0])
    shown = raw.api("GET", f"{PATH}/{made['id']}")
    assert shown.json() == made and supply.registry()[2] not in shown.text
    assert made["id"] in [known["id"] for known in raw.api("GET", PATH).json()]
    changed = raw.api("PATCH", f"{PATH}/{made['id']}", json={**made, "name": "renamed"})
    assert (changed.status_code, changed.json()["name"]) == (200, "renamed")
    assert raw.api("DELETE", f"{PATH}/{made['id']}").status_code == 204
    assert raw.api("GET", f"{PATH}/{made['id']}").status_code == 404


def test_who_may_not_push_is_told(raw):
    answer = raw.api("GET", f"{PATH}/registry-push-access")
    assert answer.status_code == 503 and "No registry to push to" in answer.json()["message"]


def test_the_password_lets_in_and_a_wrong_one_does_not(daytona, raw, login):
    from daytona import CreateSnapshotParams, DaytonaError

    name = f"e2e-{uuid.uuid4().hex[:8]}"
    wrong = login(password="wrong")
    with pytest.raises(DaytonaError):
        daytona.snapshot.create(CreateSnapshotParams(name=name, image=supply.base()), timeout=120)
    failed = daytona.snapshot.get(name)
    assert failed.state == "error" and failed.error_reason
    assert supply.registry()[2] not in failed.error_reason and "wrong" not in failed.error_reason
    daytona.snapshot.delete(failed)
    raw.api("DELETE", f"{PATH}/{wrong['id']}")
    login()
    made = daytona.snapshot.create(CreateSnapshotParams(name=name, image=supply.base()), timeout=120)
    assert made.state == "active"
    daytona.snapshot.delete(made)
