"""What happens to a sandbox after it was made: stop, start, change, delete."""

import pytest
from daytona import DaytonaBadRequestError, DaytonaError, DaytonaNotFoundError, SandboxState


def test_files_survive_a_stop_and_processes_do_not(create, daytona):
    sandbox = create(env_vars={"KEPT": "yes"})
    sandbox.fs.upload_file(b"kept", "/home/daytona/kept.txt")
    sandbox.process.exec("sudo sh -c 'echo system > /etc/kept.conf'")
    sandbox.process.exec("nohup sleep 4711 > /dev/null 2>&1 &")
    assert "sleep 4711" in sandbox.process.exec("ps -eo args").result
    sandbox.stop()
    assert sandbox.state == SandboxState.STOPPED
    assert daytona.get(sandbox.id).state == SandboxState.STOPPED
    sandbox.start()
    assert sandbox.state == SandboxState.STARTED
    assert sandbox.fs.download_file("/home/daytona/kept.txt") == b"kept"
    assert sandbox.process.exec("cat /etc/kept.conf; echo $KEPT").result == "system\nyes\n"
    assert "sleep 4711" not in sandbox.process.exec("ps -eo args").result


def test_stop_twice_and_start_twice(create):
    sandbox = create()
    sandbox.start()
    sandbox.stop()
    sandbox.stop()
    assert sandbox.state == SandboxState.STOPPED
    sandbox.start()
    sandbox.start()
    assert sandbox.process.exec("echo on").result == "on\n"


def test_a_forced_stop(create):
    sandbox = create()
    sandbox.process.exec("nohup sh -c 'trap \"\" TERM; sleep 60' > /dev/null 2>&1 &")
    sandbox.stop(force=True)
    assert sandbox.state == SandboxState.STOPPED


def test_a_stopped_sandbox_takes_no_commands(create):
    sandbox = create()
    sandbox.stop()
    with pytest.raises(DaytonaError) as caught:
        sandbox.process.exec("echo off")
    assert 400 <= caught.value.status_code < 500


def test_delete(create, daytona):
    sandbox = create()
    sandbox.delete(wait=True)
    assert sandbox.state == SandboxState.DESTROYED
    with pytest.raises(DaytonaNotFoundError):
        daytona.get(sandbox.id)
    with pytest.raises(DaytonaNotFoundError):
        sandbox.delete()
    with pytest.raises(DaytonaNotFoundError):
        sandbox.start()
    with pytest.raises(DaytonaNotFoundError):
        sandbox.process.exec("echo gone")


def test_delete_while_stopped(create, daytona):
    sandbox = create()
    sandbox.stop()
    sandbox.delete(wait=True)
    with pytest.raises(DaytonaNotFoundError):
        daytona.get(sandbox.id)


def test_labels_are_replaced_as_a_whole(create, daytona):
    sandbox = create(labels={"old": "1"})
    labels = {"new": "2", "code-toolbox-language": "python"}
    assert sandbox.set_labels(labels) == labels
    assert sandbox.labels == labels
    assert daytona.get(sandbox.id).labels == labels
    # Only so can the run find it again.
    sandbox.set_labels({**labels, "e2e-run": "x"})


def test_intervals(create, daytona):
    sandbox = create()
    sandbox.set_autostop_interval(30)
    sandbox.set_auto_archive_interval(90)
    sandbox.set_auto_delete_interval(600)
    again = daytona.get(sandbox.id)
    assert (again.auto_stop_interval, again.auto_archive_interval, again.auto_delete_interval) == (30, 90, 600)
    sandbox.set_auto_delete_interval(-1)
    assert daytona.get(sandbox.id).auto_delete_interval == -1
    with pytest.raises(DaytonaBadRequestError):
        sandbox.set_autostop_interval(-1)


@pytest.mark.parametrize("value", ["-5", "x", "1.5", "99999999999999999999"])
def test_a_bad_interval_is_refused(create, raw, value):
    sandbox = create()
    assert raw.api("POST", f"/sandbox/{sandbox.id}/autostop/{value}").status_code == 400


def test_public(create, daytona):
    sandbox = create()
    sandbox.set_public(True)
    assert daytona.get(sandbox.id).public
    sandbox.set_public(False)
    assert not daytona.get(sandbox.id).public


def test_last_activity(create, daytona):
    sandbox = create()
    before = daytona.get(sandbox.id).last_activity_at
    sandbox.refresh_activity()
    assert daytona.get(sandbox.id).last_activity_at >= before


def test_information(create):
    sandbox = create()
    assert sandbox.get_user_home_dir() == "/home/daytona"
    assert sandbox.get_work_dir() == "/home/daytona"
    metrics = sandbox.get_metrics_latest()
    assert metrics.cpu_count >= 1
    assert 0 < metrics.mem_used <= metrics.mem_total == 2**30
    assert 0 < metrics.disk_used < metrics.disk_total <= 3 * 2**30


def test_version_and_proxy_url(create, raw):
    sandbox = create()
    version = raw.toolbox(sandbox, "GET", "/version")
    assert version.status_code == 200 and version.json()["version"]
    answer = raw.api("GET", f"/sandbox/{sandbox.id}/toolbox-proxy-url")
    assert answer.status_code == 200 and answer.json()["url"] == sandbox.toolbox_proxy_url


def test_env_of_the_daemon(create):
    sandbox = create(env_vars={"FIRST": "1", "SECOND": "2"})
    sandbox.update_env({"SECOND": "two", "THIRD": "3"}, unset=["FIRST"])
    assert sandbox.process.exec('echo "${FIRST-unset} $SECOND $THIRD"').result == "unset two 3\n"
