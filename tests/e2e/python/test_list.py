"""Finding sandboxes again: by id, by name, by filter, page by page."""

import uuid

import pytest
from daytona import (
    DaytonaBadRequestError,
    DaytonaError,
    DaytonaNotFoundError,
    ListSandboxesQuery,
    SandboxListSortDirection,
    SandboxListSortField,
    SandboxState,
)


@pytest.fixture
def three(create):
    group = uuid.uuid4().hex
    return group, [create(name=f"{group}-{number}", labels={"group": group}) for number in range(3)]


def ids(sandboxes):
    return [sandbox.id for sandbox in sandboxes]


def test_filters_and_pages(daytona, three):
    group, made = three
    labels = {"group": group}
    assert set(ids(daytona.list(ListSandboxesQuery(labels=labels)))) == set(ids(made))
    # One an answer: three pages, each sandbox once.
    paged = ids(daytona.list(ListSandboxesQuery(labels=labels, limit=1)))
    assert sorted(paged) == sorted(ids(made))
    assert ids(daytona.list(ListSandboxesQuery(labels={"group": "other"}))) == []
    assert ids(daytona.list(ListSandboxesQuery(name=f"{group}-1".upper()))) == [made[1].id]
    assert ids(daytona.list(ListSandboxesQuery(id=made[2].id[:18]))) == [made[2].id]
    first_by_name = ListSandboxesQuery(
        labels=labels, limit=2, sort=SandboxListSortField.NAME, order=SandboxListSortDirection.DESC
    )
    assert ids(daytona.list(first_by_name)) == ids(reversed(made))


def test_states(daytona, three):
    group, made = three
    made[0].stop()

    def of(*states):
        return set(ids(daytona.list(ListSandboxesQuery(labels={"group": group}, states=list(states)))))

    assert of(SandboxState.STOPPED) == {made[0].id}
    assert of(SandboxState.STARTED) == {made[1].id, made[2].id}
    assert of(SandboxState.STARTED, SandboxState.STOPPED) == set(ids(made))


def test_a_listed_sandbox_can_be_used(daytona, three):
    group, made = three
    (listed,) = daytona.list(ListSandboxesQuery(name=f"{group}-0"))
    assert listed.process.exec("echo listed").result == "listed\n"
    listed.refresh_data()
    assert listed.id == made[0].id


def test_deleted_sandboxes_are_not_listed(daytona, three):
    group, made = three
    made[1].delete(wait=True)
    assert set(ids(daytona.list(ListSandboxesQuery(labels={"group": group})))) == {made[0].id, made[2].id}


@pytest.mark.parametrize("reference", ["00000000-0000-4000-8000-000000000000", "no such name", "a/b", "ünknown"])
def test_unknown_sandbox(daytona, reference):
    with pytest.raises(DaytonaNotFoundError) as caught:
        daytona.get(reference)
    assert caught.value.status_code == 404


def test_a_foreign_cursor_is_refused(raw):
    answer = raw.api("GET", "/sandbox", params={"cursor": "not a cursor"})
    assert answer.status_code == 400


def test_bad_limit(daytona):
    with pytest.raises(DaytonaBadRequestError):
        list(daytona.list(ListSandboxesQuery(limit=0)))
    # This one the SDK's generated client refuses, with an error that has no class of its own.
    with pytest.raises(DaytonaError, match="limit"):
        list(daytona.list(ListSandboxesQuery(limit=100_000)))
