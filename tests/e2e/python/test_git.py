"""Git in a sandbox, as both clients of the official SDK ask for it, against a real server inside of the sandbox."""

import asyncio
import inspect
import pathlib

import pytest
from daytona import (
    AsyncDaytona,
    DaytonaBadRequestError,
    DaytonaConflictError,
    DaytonaGitAuthFailedError,
    DaytonaGitBranchExistsError,
    DaytonaGitBranchNotFoundError,
    DaytonaGitDirtyWorktreeError,
    DaytonaGitMergeConflictError,
    DaytonaGitPushRejectedError,
    DaytonaGitRemoteRejectedError,
    DaytonaGitRepoNotFoundError,
    DaytonaGitTransportFailedError,
    DaytonaNotFoundError,
)

SERVER = pathlib.Path(__file__).parent.parent / "git_server.py"
PORT = 8418
ORIGIN = f"http://localhost:{PORT}"
LOGIN = {"username": "agent", "password": "s3cret-Zq81/x w"}
WHO = {"author": "Ada Lovelace", "email": "ada@example.com"}
PREPARE = """set -e
cd ~/served
export GIT_AUTHOR_NAME=Else GIT_AUTHOR_EMAIL=else@x GIT_COMMITTER_NAME=Else GIT_COMMITTER_EMAIL=else@x
for kind in sync async; do for name in open-$kind private/$kind; do
  git init -q --bare -b main $name.git
  git -C $name.git config http.receivepack true
  git clone -q $name.git work 2>/dev/null
  cd work
  for number in 1 2 3; do echo $number > file; git add .; git commit -q -m "commit $number"; done
  git push -q origin HEAD:main
  git push -q origin HEAD~1:refs/heads/older
  cd ..
  rm -rf work
done; done
"""


@pytest.fixture(scope="module")
def served(box):
    """The shared sandbox, with a git server in it."""
    box.fs.create_folder("served/private", "755")
    box.fs.upload_file(SERVER.read_bytes(), "git_server.py")
    box.fs.upload_file(f"{LOGIN['username']}\n{LOGIN['password']}\n".encode(), "served/login")
    done = box.process.exec(PREPARE)
    assert done.exit_code == 0, done.result
    box.process.exec(f"setsid -f python3 git_server.py ~/served {PORT} >server.log 2>&1")
    wait = f"for try in $(seq 100); do curl -s -o /dev/null {ORIGIN}/ && exit 0; sleep 0.1; done; exit 1"
    assert box.process.exec(wait).exit_code == 0, box.process.exec("cat server.log").result
    return box


class Asked:
    """One sandbox, asked by either client; every call is awaited."""

    def __init__(self, sandbox, kind):
        self.sandbox = sandbox
        self.kind = kind

    def __getattr__(self, name):
        method = getattr(self.sandbox.git, name)

        async def call(*args, **kwargs):
            answer = method(*args, **kwargs)
            return await answer if inspect.isawaitable(answer) else answer

        return call

    async def shell(self, command):
        answer = self.sandbox.process.exec(command)
        answer = await answer if inspect.isawaitable(answer) else answer
        assert answer.exit_code == 0, answer.result
        return answer.result.strip()

    async def begin(self, name):
        """Makes a repository with one commit; returns its path."""
        path = f"{name}-{self.kind}"
        await self.init(path, initial_branch="main")
        await self.shell(f"echo one > {path}/a")
        await self.add(path, ["."])
        await self.commit(path, "first", **WHO)
        return path

    async def change(self, path, name, text, message="mine"):
        await self.shell(f"echo '{text}' > {path}/{name}")
        await self.add(path, [name])
        return (await self.commit(path, message, **WHO)).sha


@pytest.fixture(params=["sync", "async"])
def play(served, request):
    """Runs a case with the synchronous or with the asynchronous client."""

    async def with_client(case):
        if request.param == "sync":
            await case(Asked(served, "sync"))
            return
        async with AsyncDaytona() as daytona:
            await case(Asked(await daytona.get(served.id), "async"))

    return lambda case: asyncio.run(with_client(case))


def test_a_repository_of_ones_own(play):
    async def case(git):
        path = await git.begin("own")
        status = await git.status(path)
        assert (status.current_branch, status.file_status, status.detached) == ("main", [], False)
        await git.shell(f"cd {path}; echo more >> a; echo x > new")
        status = await git.status(path)
        told = {file.name: (file.staging.value, file.worktree.value) for file in status.file_status}
        assert told == {"a": ("Unmodified", "Modified"), "new": ("Untracked", "Untracked")}
        await git.add(path, ["a", "new"])
        made = await git.commit(path, "second", **WHO)
        assert await git.shell(f"git -C {path} log -1 --format='%H %an %ae %s'") == (
            f"{made.sha} Ada Lovelace ada@example.com second"
        )
        with pytest.raises(DaytonaConflictError, match="allow_empty"):
            await git.commit(path, "nothing", **WHO)
        await git.commit(path, "nothing", allow_empty=True, **WHO)
        with pytest.raises(DaytonaNotFoundError):
            await git.add(path, ["no-such-file"])
        with pytest.raises(DaytonaConflictError):
            await git.init(path)
        with pytest.raises(DaytonaGitRepoNotFoundError):
            await git.status(".")

    play(case)


def test_branches_and_checkout(play):
    async def case(git):
        path = await git.begin("branches")
        await git.create_branch(path, "feature")
        listed = await git.branches(path)
        assert (sorted(listed.branches), listed.current) == (["feature", "main"], "feature")
        with pytest.raises(DaytonaGitBranchExistsError):
            await git.create_branch(path, "main")
        second = await git.change(path, "a", "two")
        await git.checkout_branch(path, "main")
        assert await git.shell(f"cat {path}/a") == "one"
        await git.shell(f"echo dirty > {path}/a")
        with pytest.raises(DaytonaGitDirtyWorktreeError, match="`a`"):
            await git.checkout_branch(path, "feature")
        await git.restore(path, ["a"])
        await git.checkout_branch(path, second)
        assert (await git.status(path)).detached
        with pytest.raises(DaytonaGitBranchNotFoundError):
            await git.checkout_branch(path, "no-such-branch")
        await git.checkout_branch(path, "main")
        await git.delete_branch(path, "feature")
        assert (await git.branches(path)).branches == ["main"]
        with pytest.raises(DaytonaGitBranchNotFoundError):
            await git.delete_branch(path, "feature")

    play(case)


def test_reset_and_restore(play):
    async def case(git):
        path = await git.begin("reset")
        await git.change(path, "a", "two")
        await git.reset(path, mode="soft", target="HEAD~1")
        assert (await git.status(path)).file_status[0].staging.value == "Modified"
        await git.restore(path, ["a"], staged=True, worktree=True)
        assert await git.shell(f"cat {path}/a") == "one"
        await git.change(path, "a", "three")
        await git.reset(path, mode="hard", target="HEAD~1")
        assert await git.shell(f"cat {path}/a") == "one"
        with pytest.raises(DaytonaBadRequestError):
            await git.reset(path, mode="gentle")
        with pytest.raises(DaytonaGitBranchNotFoundError):
            await git.restore(path, ["a"], source="no-such-commit")
        with pytest.raises(DaytonaNotFoundError):
            await git.restore(path, ["no-such-file"])

    play(case)


def test_settings(play):
    async def case(git):
        path = await git.begin("settings")
        await git.configure_user("Grace", "grace@example.com", scope="local", path=path)
        assert await git.get_config("user.name", scope="local", path=path) == "Grace"
        await git.set_config(f"e2e-{git.kind}.word", "value")
        assert await git.get_config(f"e2e-{git.kind}.word") == "value"
        assert await git.shell(f"git config --global e2e-{git.kind}.word") == "value"
        assert await git.get_config("e2e.nothing") is None
        with pytest.raises(DaytonaBadRequestError):
            await git.set_config("nonsense", "value")
        with pytest.raises(DaytonaBadRequestError):
            await git.configure_user("Grace", "grace@example.com", scope="moon")
        with pytest.raises(DaytonaGitRepoNotFoundError):
            await git.get_config("user.name", scope="local", path="no-such-folder")

    play(case)


def test_remotes(play):
    async def case(git):
        path = await git.begin("remotes")
        await git.remote_add(path, "up", f"{ORIGIN}/open-{git.kind}.git", fetch=True)
        assert await git.remote_get(path, "up") == f"{ORIGIN}/open-{git.kind}.git"
        assert "up/older" in await git.shell(f"git -C {path} branch -r")
        with pytest.raises(DaytonaConflictError):
            await git.remote_add(path, "up", "/elsewhere")
        await git.remote_add(path, "up", "https://me:hunter2@git.example/x", overwrite=True)
        listed = (await git.remotes(path)).remotes
        assert [(remote.name, remote.url) for remote in listed] == [("up", "https://git.example/x")]
        assert "hunter2" not in await git.shell(f"cat {path}/.git/config")

    play(case)


def test_clone_of_a_private_repository(play):
    async def case(git):
        url, path = f"{ORIGIN}/private/{git.kind}.git", f"private-{git.kind}"
        with pytest.raises(DaytonaGitAuthFailedError):
            await git.clone(url, path)
        with pytest.raises(DaytonaGitAuthFailedError) as refused:
            await git.clone(url, path, username="agent", password="wrong-password")
        assert "wrong-password" not in str(refused.value)
        assert await git.shell(f"ls -d {path} 2>&1 || true") != path
        await git.clone(url, path, **LOGIN)
        assert (await git.status(path)).upstream == "origin/main"
        assert await git.shell(f"grep -r '{LOGIN['password']}' {path}/.git ~/.gitconfig; true") == ""
        found = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c 's3cret-[Z]q81'"
        assert await git.shell(f"{found}; true") == "0"
        await git.change(path, "mine", "mine")
        with pytest.raises(DaytonaGitAuthFailedError):
            await git.push(path)
        await git.push(path, **LOGIN)
        assert (await git.status(path)).ahead == 0
        await git.dangerously_authenticate(**LOGIN, host=f"localhost:{PORT}", protocol="http")
        await git.pull(path)
        assert await git.shell("stat -c %a ~/.git-credentials") == "600"
        assert await git.shell(f"git -C {path} pull 2>&1") == "Already up to date."
        with pytest.raises(DaytonaBadRequestError):
            await git.dangerously_authenticate("a\nb", "x")
        await git.shell("rm ~/.git-credentials")

    play(case)


def test_clone_of_parts(play):
    async def case(git):
        url = f"{ORIGIN}/open-{git.kind}.git"
        await git.clone(url, f"shallow-{git.kind}", depth=1)
        assert await git.shell(f"git -C shallow-{git.kind} rev-list --count HEAD") == "1"
        await git.clone(url, f"older-{git.kind}", branch="older")
        assert (await git.status(f"older-{git.kind}")).current_branch == "older"
        commit = await git.shell(f"git -C older-{git.kind} rev-parse HEAD~1")
        await git.clone(url, f"commit-{git.kind}", commit_id=commit)
        assert (await git.status(f"commit-{git.kind}")).detached
        with pytest.raises(DaytonaGitBranchNotFoundError):
            await git.clone(url, f"none-{git.kind}", branch="no-such-branch")
        with pytest.raises(DaytonaGitRepoNotFoundError):
            await git.clone(f"{ORIGIN}/none.git", f"none-{git.kind}")
        with pytest.raises(DaytonaGitTransportFailedError):
            await git.clone("http://localhost:1/none.git", f"none-{git.kind}")
        with pytest.raises(DaytonaConflictError):
            await git.clone(url, f"shallow-{git.kind}")

    play(case)


def test_two_who_push_and_pull(play):
    async def case(git):
        url, one, two = f"{ORIGIN}/open-{git.kind}.git", f"one-{git.kind}", f"two-{git.kind}"
        await git.clone(url, one)
        await git.clone(url, two)
        for path in (one, two):
            await git.configure_user("Ada", "ada@example.com", scope="local", path=path)
        await git.change(one, "file", "from one")
        await git.push(one)
        await git.change(two, "other", "from two")
        with pytest.raises(DaytonaGitPushRejectedError):
            await git.push(two)
        await git.pull(two)
        await git.push(two)
        await git.pull(one)
        assert await git.shell(f"cat {one}/other") == "from two"
        await git.change(one, "file", "one again")
        await git.push(one)
        await git.change(two, "file", "two again")
        with pytest.raises(DaytonaGitMergeConflictError, match="`file`"):
            await git.pull(two)
        assert (await git.status(two)).file_status[0].worktree.value == "Updated but unmerged"
        await git.reset(two, mode="hard", target="origin/main")
        await git.shell(f"echo dirty > {two}/file")
        await git.change(one, "file", "one for the last time")
        await git.push(one, remote="origin", branch="main")
        with pytest.raises(DaytonaGitDirtyWorktreeError):
            await git.pull(two, remote="origin", branch="main")
        await git.create_branch(one, "topic")
        await git.push(one, branch="topic", set_upstream=True)
        assert (await git.status(one)).upstream == "origin/topic"
        hook = f"served/open-{git.kind}.git/hooks/pre-receive"
        await git.shell(f"printf '#!/bin/sh\\necho not today >&2; exit 1\\n' > {hook}; chmod +x {hook}")
        await git.change(one, "file", "refused")
        with pytest.raises(DaytonaGitRemoteRejectedError, match="not today"):
            await git.push(one)
        await git.shell(f"rm {hook}")

    play(case)
