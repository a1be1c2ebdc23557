"""What a new sandbox is, by what its creator asked for."""

import pytest
from daytona import (
    CreateSandboxFromSnapshotParams,
    DaytonaBadRequestError,
    DaytonaConflictError,
    DaytonaError,
    SandboxState,
)


def test_default(create):
    sandbox = create()
    assert sandbox.state == SandboxState.STARTED
    assert sandbox.name == sandbox.id
    assert sandbox.user == "daytona"
    assert sandbox.labels["code-toolbox-language"] == "python"
    assert (sandbox.cpu, sandbox.memory, sandbox.disk, sandbox.gpu) == (1, 1, 3, 0)
    assert sandbox.auto_stop_interval == 15
    assert sandbox.auto_archive_interval == 7 * 24 * 60
    assert sandbox.auto_delete_interval == -1
    assert not sandbox.public and not sandbox.network_block_all
    assert sandbox.created_at and sandbox.updated_at and sandbox.organization_id and sandbox.target
    assert not sandbox.toolbox_proxy_url.endswith("/")


def test_takes_its_first_command_at_once(create):
    assert create().process.exec("echo ready").result == "ready\n"


def test_name_labels_and_env(create, daytona, run_id):
    name = f"named-{run_id}"
    sandbox = create(name=name, labels={"tier": "été"}, env_vars={"GREETING": "good  day", "EMPTY": ""})
    assert sandbox.name == name
    assert sandbox.labels["tier"] == "été"
    assert sandbox.env == {"GREETING": "good  day", "EMPTY": ""}
    assert sandbox.process.exec('echo "$GREETING|${EMPTY-unset}"').result == "good  day|\n"
    assert sandbox.process.code_run("import os; print(os.environ['GREETING'])").result == "good  day\n"
    assert daytona.get(name).id == sandbox.id
    assert daytona.get(sandbox.id).name == name


def test_name_with_a_slash_is_found(create, daytona, run_id):
    sandbox = create(name=f"team/{run_id}: näme")
    assert daytona.get(sandbox.name).id == sandbox.id


def test_a_taken_name_is_a_conflict(create, run_id):
    create(name=f"twice-{run_id}")
    with pytest.raises(DaytonaConflictError) as caught:
        create(name=f"twice-{run_id}")
    assert caught.value.status_code == 409


def test_a_name_is_free_again_after_deletion(create, run_id):
    first = create(name=f"again-{run_id}")
    first.delete(wait=True)
    assert create(name=f"again-{run_id}").id != first.id


def test_user_root(create):
    sandbox = create(os_user="root")
    assert sandbox.user == "root"
    assert sandbox.process.exec("id -un").result == "root\n"
    assert sandbox.get_user_home_dir() == "/root"


def test_resources(create_raw):
    sandbox = create_raw(cpu=2, memory=2, disk=2)
    assert (sandbox.cpu, sandbox.memory, sandbox.disk) == (2, 2, 2)
    size = int(sandbox.process.exec("df --output=size -B1 / | tail -1").result)
    assert 1.7 * 2**30 < size <= 2 * 2**30


def test_intervals_and_public(create):
    sandbox = create(auto_stop_interval=0, auto_archive_interval=60, auto_delete_interval=120, public=True)
    assert sandbox.auto_stop_interval == 0
    assert sandbox.auto_archive_interval == 60
    assert sandbox.auto_delete_interval == 120
    assert sandbox.public


def test_ephemeral_goes_when_it_stops(create, raw):
    sandbox = create(ephemeral=True)
    assert sandbox.auto_delete_interval == 0
    sandbox.stop(timeout=60)
    assert sandbox.state in (SandboxState.DESTROYED, SandboxState.DESTROYING)
    assert raw.api("GET", f"/sandbox/{sandbox.id}").status_code == 404


def test_network_block_all_is_shown(create):
    assert create(network_block_all=True).network_block_all


def test_an_unknown_language_is_refused(daytona):
    with pytest.raises((DaytonaBadRequestError, ValueError)):
        daytona.create(CreateSandboxFromSnapshotParams(language="cobol"))


def test_an_unknown_snapshot_is_refused(create):
    with pytest.raises(DaytonaBadRequestError, match="no-such-snapshot"):
        create(snapshot="no-such-snapshot")


def test_an_unknown_target_is_refused(create):
    with pytest.raises(DaytonaBadRequestError, match="nowhere"):
        create(target="nowhere")


@pytest.mark.parametrize(
    "name", ["", " ", " padded ", "a\nb", "a\0b", "<b>bold</b>", "https://example.org", "www.example.org", "x" * 256]
)
def test_a_bad_name_is_refused(create, name):
    if name == "":
        # No name asked for: the id is the name.
        sandbox = create(name=name)
        assert sandbox.name == sandbox.id
        return
    with pytest.raises(DaytonaBadRequestError) as caught:
        create(name=name)
    assert caught.value.status_code == 400


@pytest.mark.parametrize("field", ["gpu", "kvm", "outboundProxyUrl"])
def test_what_is_not_built_is_refused_and_not_ignored(raw, field):
    value = {"gpu": 1, "kvm": True, "outboundProxyUrl": "http://p:1"}[field]
    answer = raw.api("POST", "/sandbox", json={field: value})
    assert answer.status_code in (400, 403, 404, 422, 501), answer.text
    assert field in answer.json()["message"]


def test_more_than_allowed_is_refused(raw):
    for fields in ({"cpu": 10_000}, {"memory": 10_000}, {"disk": 1_000_000}, {"cpu": -1}):
        assert raw.api("POST", "/sandbox", json=fields).status_code == 400, fields


def test_a_wrong_key_creates_nothing(daytona):
    from daytona import Daytona, DaytonaAuthenticationError, DaytonaConfig

    stranger = Daytona(DaytonaConfig(api_key="dtn_wrong"))
    with pytest.raises(DaytonaAuthenticationError) as caught:
        stranger.create()
    assert caught.value.status_code == 401
    assert isinstance(caught.value, DaytonaError)
