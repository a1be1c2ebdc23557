"""Volumes: files that outlive sandboxes, that several have at once, and that behave as files on a disk do."""

import asyncio
import time
import uuid

import pytest
from daytona import (
    AsyncDaytona,
    CreateSandboxFromSnapshotParams,
    DaytonaError,
    DaytonaNotFoundError,
    VolumeMount,
)

from conftest import RUN_LABEL

SQLITE = """
import sqlite3, sys
base = sqlite3.connect("/data/base.db", timeout=60)
base.execute("pragma journal_mode = wal")
base.execute("create table if not exists t (who text, n integer)")
for n in range(50):
    with base:
        base.execute("insert into t values (?, ?)", (sys.argv[1], n))
print(base.execute("pragma integrity_check").fetchone()[0])
"""

MAPPED = """
import mmap, os
file = os.open("/data/mapped", os.O_RDWR | os.O_CREAT)
os.ftruncate(file, 8192)
shared = mmap.mmap(file, 8192)
shared[4096:4101] = b"hello"
shared.flush()
os.rename("/data/mapped", "/data/renamed")
print(open("/data/renamed", "rb").read()[4096:4101].decode())
"""


@pytest.fixture
def volume(daytona):
    made = daytona.volume.get(f"volume-{uuid.uuid4().hex[:8]}", create=True)
    yield made
    # After the sandboxes that have it.
    wait_until_free(daytona, made)


def wait_until_free(daytona, volume):
    end = time.monotonic() + 60
    while True:
        try:
            daytona.volume.delete(volume)
            return
        except DaytonaNotFoundError:
            return
        except DaytonaError as error:
            if "must be ready" in str(error):
                return  # the case deleted it
            assert time.monotonic() < end, error
            time.sleep(0.2)


@pytest.fixture
def with_volume(volume, create):
    """Makes sandboxes that have the volume; they are deleted before it is."""

    def make(path="/data", subpath=None, **params):
        mount = VolumeMount(volume_id=volume.id, mount_path=path, subpath=subpath)
        return create(volumes=[mount], **params)

    return make


def run(sandbox, command):
    answer = sandbox.process.exec(command, timeout=120)
    assert answer.exit_code == 0, answer.result
    return answer.result.strip()


def python(sandbox, program, *arguments):
    sandbox.fs.upload_file(program.encode(), "/tmp/program.py")
    return run(sandbox, "python3 /tmp/program.py " + " ".join(arguments))


def test_a_volume_is_made_found_listed_and_deleted(daytona):
    name = f"volume-{uuid.uuid4().hex[:8]}"
    with pytest.raises(DaytonaNotFoundError):
        daytona.volume.get(name)
    made = daytona.volume.create(name)
    assert (made.name, made.state) == (name, "ready")
    assert daytona.volume.get(name).id == made.id
    assert any(known.id == made.id for known in daytona.volume.list())
    with pytest.raises(DaytonaError) as refused:
        daytona.volume.create(name)
    assert f"Volume with name {name} already exists" in str(refused.value)
    daytona.volume.delete(made)
    assert all(known.id != made.id or known.state == "deleting" for known in daytona.volume.list())
    again = daytona.volume.create(name)
    assert again.id != made.id
    daytona.volume.delete(again)


def test_files_outlive_sandboxes(with_volume):
    first = with_volume()
    run(first, "mkdir -p /data/deep && echo kept > /data/deep/file && chmod 640 /data/deep/file")
    first.delete()
    second = with_volume("/home/daytona/vol")
    assert run(second, "cat ~/vol/deep/file && stat -c %a ~/vol/deep/file") == "kept\n640"
    assert second.fs.download_file("/home/daytona/vol/deep/file") == b"kept\n"


def test_several_sandboxes_share_one_as_processes_share_a_disk(with_volume):
    first, second = with_volume(), with_volume()
    run(first, "echo a > /data/one && mv /data/one /data/two")
    assert run(second, "cat /data/two") == "a"
    run(first, "flock -x /data/lock -c 'touch /data/held; sleep 600' > /dev/null 2>&1 & until [ -e /data/held ]; do sleep 0.1; done")
    assert second.process.exec("flock -n -x /data/lock true").exit_code == 1
    assert python(first, SQLITE, "first") == "ok"
    assert python(second, SQLITE, "second") == "ok"
    count = "python3 -c \"import sqlite3; print(sqlite3.connect('/data/base.db').execute('select count(*) from t').fetchone()[0])\""
    assert run(first, count) == "100"
    assert python(second, MAPPED) == "hello"


def test_a_part_of_a_volume(with_volume):
    whole = with_volume()
    run(whole, "mkdir -p /data/tenant/a && echo mine > /data/tenant/a/f && echo secret > /data/secret")
    part = with_volume(subpath="tenant/a")
    assert run(part, "ls /data && cat /data/f") == "f\nmine"
    fresh = with_volume(subpath="made/on/demand")
    run(fresh, "echo new > /data/f")
    assert run(whole, "cat /data/made/on/demand/f") == "new"


def test_read_only(volume, with_volume, create_raw):
    writer = with_volume()
    run(writer, "echo kept > /data/f")
    reader = create_raw(volumes=[{"volumeId": volume.name, "mountPath": "/data", "readOnly": True}], user="root")
    assert run(reader, "cat /data/f") == "kept"
    for attempt in (
        "echo gone > /data/f",
        "mount -o remount,rw /data",
        "mount -o remount,bind,rw /data",
        "unshare -Urm mount -o remount,bind,rw /data",
        "umount /data",
    ):
        assert reader.process.exec(attempt).exit_code != 0, attempt
    assert run(writer, "cat /data/f") == "kept"


def test_a_volume_comes_to_a_sandbox_that_runs(daytona, raw, volume, create):
    sandbox = create()
    answer = raw.api("POST", f"/sandbox/{sandbox.id}/volumes", json={"volumeId": volume.id, "mountPath": "/late"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["volumes"] == [{"volumeId": volume.id, "mountPath": "/late"}]
    run(sandbox, "echo late > /late/f")
    sandbox.stop()
    sandbox.start()
    assert run(sandbox, "cat /late/f") == "late"
    assert daytona.get(sandbox.id).volumes[0].mount_path == "/late"


def test_a_volume_in_use_is_not_deleted(daytona, volume, with_volume):
    sandbox = with_volume()
    with pytest.raises(DaytonaError) as refused:
        daytona.volume.delete(volume)
    assert "a sandbox has it" in str(refused.value)
    sandbox.delete(wait=True)
    daytona.volume.delete(volume)


def test_nonsense_is_refused(create, volume):
    for path in ("data", "/", "/proc/x", "/a/../b"):
        with pytest.raises(DaytonaError) as refused:
            create(volumes=[VolumeMount(volume_id=volume.id, mount_path=path)])
        assert "Invalid mount path" in str(refused.value)
    with pytest.raises(DaytonaNotFoundError):
        create(volumes=[VolumeMount(volume_id="no-such-volume", mount_path="/data")])


def test_the_asynchronous_client(run_id):
    async def case():
        async with AsyncDaytona() as daytona:
            volume = await daytona.volume.get(f"volume-{uuid.uuid4().hex[:8]}", create=True)
            mount = VolumeMount(volume_id=volume.id, mount_path="/data")
            params = CreateSandboxFromSnapshotParams(volumes=[mount], labels={RUN_LABEL: run_id})
            sandbox = await daytona.create(params, timeout=60)
            try:
                answer = await sandbox.process.exec("echo async > /data/f && cat /data/f")
                assert answer.result.strip() == "async"
            finally:
                await sandbox.delete(wait=True)
            await daytona.volume.delete(volume)

    asyncio.run(case())
