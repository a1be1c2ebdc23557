"""The full life of a sandbox, as the asynchronous client of the official SDK asks for it."""

import asyncio
import uuid

import pytest
from daytona import (
    AsyncDaytona,
    CreateSandboxFromSnapshotParams,
    DaytonaBadRequestError,
    DaytonaConflictError,
    DaytonaNotFoundError,
    ListSandboxesQuery,
    Resources,
    SandboxState,
)

import tree
from conftest import RUN_LABEL


class Ground:
    """A client, and what a case makes with it."""

    def __init__(self, daytona, run_id):
        self.daytona = daytona
        self.run_id = run_id
        self.made = []

    async def create(self, **params):
        params["labels"] = {**params.get("labels", {}), RUN_LABEL: self.run_id}
        return self.keep(await self.daytona.create(CreateSandboxFromSnapshotParams(**params), timeout=60))

    def keep(self, sandbox):
        self.made.append(sandbox.id)
        return sandbox

    async def remove(self):
        # What came later goes first: a parent of living forks stays.
        for sandbox_id in reversed(self.made):
            try:
                await (await self.daytona.get(sandbox_id)).delete(timeout=60, wait=True)
            except DaytonaNotFoundError:
                pass


@pytest.fixture
def play(run_id):
    """Runs a case that is given its ground, in a loop of its own."""

    def run(case):
        async def whole():
            async with AsyncDaytona() as daytona:
                ground = Ground(daytona, run_id)
                try:
                    await case(ground)
                finally:
                    await ground.remove()

        asyncio.run(whole())

    return run


async def shell(sandbox, script):
    answer = await sandbox.process.exec(script, timeout=60)
    assert answer.exit_code == 0, answer.result
    return answer.result


async def digest(sandbox):
    return (await shell(sandbox, tree.HASH)).split()[0]


async def archive(sandbox):
    await sandbox.archive()
    async with asyncio.timeout(60):
        while sandbox.state != SandboxState.ARCHIVED:
            await asyncio.sleep(0.1)
            await sandbox.refresh_data()


def test_stop_pause_archive(play):
    async def case(ground):
        sandbox = await ground.create()
        await shell(sandbox, tree.FILL)
        expected = await digest(sandbox)
        await sandbox.stop()
        assert sandbox.state == SandboxState.STOPPED
        await sandbox.start()
        assert await digest(sandbox) == expected
        await sandbox.pause()
        assert sandbox.state == SandboxState.PAUSED
        await sandbox.start()
        assert sandbox.state == SandboxState.STARTED
        assert await digest(sandbox) == expected
        await sandbox.stop(force=True)
        await archive(sandbox)
        await sandbox.start()
        assert await digest(sandbox) == expected

    play(case)


def test_fork_and_snapshot(play):
    async def case(ground):
        parent = await ground.create()
        await shell(parent, tree.FILL)
        expected = await digest(parent)
        child = ground.keep(await parent.fork())
        assert await digest(child) == expected
        await shell(child, f"echo child > {tree.ROOT}/round")
        assert await digest(parent) == expected != await digest(child)
        with pytest.raises(DaytonaBadRequestError):
            await parent.delete()
        name = f"async-{uuid.uuid4().hex[:8]}"
        await parent.create_snapshot(name)
        try:
            with pytest.raises(DaytonaConflictError):
                await parent.create_snapshot(name)
            again = await ground.create(snapshot=name)
            assert await digest(again) == expected
        finally:
            await ground.daytona.snapshot.delete(await ground.daytona.snapshot.get(name))

    play(case)


def test_settings(play):
    async def case(ground):
        sandbox = await ground.create(auto_pause_interval=9, auto_stop_interval=0, ttl_minutes=30)
        found = await ground.daytona.get(sandbox.id)
        assert (found.auto_pause_interval, found.auto_stop_interval) == (9, 0) and found.auto_destroy_at
        await sandbox.set_auto_pause_interval(0)
        await sandbox.set_autostop_interval(11)
        await sandbox.set_auto_archive_interval(12)
        await sandbox.set_auto_delete_interval(-1)
        await sandbox.set_ttl(0)
        await sandbox.resize(Resources(cpu=2))
        found = await ground.daytona.get(sandbox.id)
        assert (found.auto_pause_interval, found.auto_stop_interval, found.auto_archive_interval) == (0, 11, 12)
        assert (found.auto_delete_interval, found.cpu, found.auto_destroy_at) == (-1, 2, None)
        before = found.last_activity_at
        await asyncio.sleep(0.01)
        await sandbox.refresh_activity()
        await sandbox.refresh_data()
        assert sandbox.last_activity_at > before
        mark = {RUN_LABEL: ground.run_id, "async": uuid.uuid4().hex}
        await sandbox.set_labels(mark)
        query = ListSandboxesQuery(labels=mark, states=[SandboxState.STARTED], min_cpu=2)
        assert [item.id async for item in ground.daytona.list(query)] == [sandbox.id]
        with pytest.raises(DaytonaBadRequestError):
            await sandbox.recover()

    play(case)


def test_links_and_ends(play):
    async def case(ground):
        owner = await ground.create()
        follower = await ground.create(linked_sandbox=owner.id, ephemeral=True)
        assert owner.id in await shell(follower, f"python3 -c 'import socket; socket.gethostbyname(\"{owner.id}\")' && echo {owner.id}")
        await owner.delete(wait=True)
        async with asyncio.timeout(30):
            while True:
                try:
                    await ground.daytona.get(follower.id)
                except DaytonaNotFoundError:
                    break
                await asyncio.sleep(0.1)
        ephemeral = await ground.create(ephemeral=True)
        await ephemeral.stop()
        with pytest.raises(DaytonaNotFoundError):
            await ground.daytona.get(ephemeral.id)

    play(case)


def test_many_at_once(play):
    """Eight lives at a time, each step of one beside other steps of others."""

    async def life(ground, number):
        sandbox = await ground.create()
        await shell(sandbox, tree.FILL)
        expected = await digest(sandbox)
        for turn in range(2):
            if (number + turn) % 2:
                await sandbox.stop()
                await archive(sandbox)
            else:
                await sandbox.pause()
            await sandbox.start()
            assert await digest(sandbox) == expected

    async def case(ground):
        await asyncio.gather(*(life(ground, number) for number in range(8)))

    play(case)
