"""Sessions: shells that are kept between commands, with both clients of the official SDK."""

import asyncio
import inspect
import time
import uuid

import pytest
from daytona import (
    AsyncDaytona,
    DaytonaBadRequestError,
    DaytonaCommandAlreadyCompletedError,
    DaytonaConflictError,
    DaytonaNotFoundError,
    DaytonaSessionEndedError,
    SessionExecuteRequest,
)

# What looks like the marks between streams, every byte that is a character, and a partial line.
ODD = "".join(map(chr, range(1, 128))) + "\1\1\1\1\2\2\2\2\2x\1\1\1\n" * 20 + "no end"
ODD_COMMAND = "python3 -c \"import sys; o = bytes(range(1, 128)) + b'\\1\\1\\1\\1\\2\\2\\2\\2\\2x\\1\\1\\1\\n' * 20 + b'no end'; "


@pytest.fixture(params=["sync", "async"])
def sandbox(request, box):
    """The same sandbox by each client: every call is awaited if it can be."""
    if request.param == "sync":
        yield Calls(box.process, None)
        return
    runner = asyncio.Runner()
    daytona = AsyncDaytona()
    try:
        yield Calls(runner.run(daytona.get(box.id)).process, runner)
    finally:
        runner.run(daytona.close())
        runner.close()


class Calls:
    """The calls of one client, whichever kind it is."""

    def __init__(self, process, runner):
        self.process = process
        self.runner = runner

    def __getattr__(self, name):
        def call(*arguments, **named):
            answer = getattr(self.process, name)(*arguments, **named)
            if not inspect.isawaitable(answer):
                return answer
            return self.runner.run(finish(answer)) if self.runner else asyncio.run(finish(answer))

        return call

    def run(self, session, command, **fields):
        return self.execute_session_command(session, SessionExecuteRequest(command=command, **fields))

    def end(self, session, command_id):
        """Waits for the end of a command; returns its exit code."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            code = self.get_session_command(session, command_id).exit_code
            if code is not None:
                return code
            time.sleep(0.02)
        raise AssertionError("the command does not end")


async def finish(awaitable):
    return await awaitable


@pytest.fixture
def session(sandbox):
    name = f"case-{uuid.uuid4().hex[:8]}"
    sandbox.create_session(name)
    yield name
    try:
        sandbox.delete_session(name)
    except DaytonaNotFoundError:
        pass


def test_state_streams_and_exit_codes(sandbox, session):
    sandbox.run(session, "cd /tmp; export A=1; f() { echo f; }")
    answer = sandbox.run(session, "pwd; echo $A; f; echo err >&2; (exit 42)")
    assert (answer.exit_code, answer.stdout, answer.stderr) == (42, "/tmp\n1\nf\n", "err\n")
    for part in ("/tmp", "err"):
        assert part in answer.output
    assert sandbox.run(session, "id -un").stdout == sandbox.run(session, "echo $USER").stdout
    assert sandbox.run(session, "cat <<'END'\n$A ünï😀\nEND").stdout == "$A ünï😀\n"
    assert sandbox.run(session, "no-such-command-at-all").exit_code == 127
    assert sandbox.run(session, "cat; echo end").stdout == "end\n"


def test_a_session_is_listed_found_and_deleted(sandbox, session):
    answer = sandbox.run(session, "echo hello")
    found = sandbox.get_session(session)
    assert [(it.id, it.command, it.exit_code) for it in found.commands] == [(answer.cmd_id, "echo hello", 0)]
    assert session in [it.session_id for it in sandbox.list_sessions()]
    command = sandbox.get_session_command(session, answer.cmd_id)
    assert (command.command, command.exit_code) == ("echo hello", 0)
    with pytest.raises(DaytonaConflictError):
        sandbox.create_session(session)
    sandbox.delete_session(session)
    assert session not in [it.session_id for it in sandbox.list_sessions()]
    for call in (
        lambda: sandbox.get_session(session),
        lambda: sandbox.delete_session(session),
        lambda: sandbox.run(session, "true"),
        lambda: sandbox.get_session_command(session, answer.cmd_id),
        lambda: sandbox.get_session_command_logs(session, answer.cmd_id),
    ):
        with pytest.raises(DaytonaNotFoundError):
            call()


def test_logs_of_a_command_that_was_not_waited_for(sandbox, session):
    answer = sandbox.run(session, "echo one; echo two >&2; sleep 0.2; printf three", run_async=True)
    assert answer.exit_code is None and not answer.stdout
    assert sandbox.end(session, answer.cmd_id) == 0
    logs = sandbox.get_session_command_logs(session, answer.cmd_id)
    assert (logs.stdout, logs.stderr) == ("one\nthree", "two\n")
    assert "one" in logs.output and "two" in logs.output


def test_logs_are_followed_to_the_end(sandbox, session):
    script = "for n in 1 2 3; do echo out $n; echo err $n >&2; sleep 0.05; done; printf end"
    answer = sandbox.run(session, script, run_async=True)
    out, err = [], []
    sandbox.get_session_command_logs_async(session, answer.cmd_id, out.append, err.append)
    assert ("".join(out), "".join(err)) == ("out 1\nout 2\nout 3\nend", "err 1\nerr 2\nerr 3\n")
    assert sandbox.get_session_command(session, answer.cmd_id).exit_code == 0
    # Once more when it is over.
    out, err = [], []
    sandbox.get_session_command_logs_async(session, answer.cmd_id, out.append, err.append)
    assert ("".join(out), "".join(err)) == ("out 1\nout 2\nout 3\nend", "err 1\nerr 2\nerr 3\n")


def test_what_looks_like_marks_is_followed_as_it_is(sandbox, session):
    script = ODD_COMMAND + "sys.stdout.buffer.write(o); sys.stdout.flush(); sys.stderr.buffer.write(o)\""
    answer = sandbox.run(session, script, run_async=True)
    out, err = [], []
    sandbox.get_session_command_logs_async(session, answer.cmd_id, out.append, err.append)
    assert ("".join(out), "".join(err)) == (ODD, ODD)
    logs = sandbox.get_session_command_logs(session, answer.cmd_id)
    assert (logs.stdout, logs.stderr) == (ODD, ODD)


def test_much_output_is_followed_without_a_gap(sandbox, session):
    answer = sandbox.run(session, "seq 1 300000", run_async=True)
    out = []
    sandbox.get_session_command_logs_async(session, answer.cmd_id, out.append, lambda _: None)
    assert "".join(out) == "".join(f"{n}\n" for n in range(1, 300001))


def test_input_is_typed_into_a_command(sandbox, session):
    answer = sandbox.run(session, "printf 'Name: '; read name; echo \"Hello $name\"", run_async=True)
    sandbox.send_session_command_input(session, answer.cmd_id, "Ada")
    assert sandbox.end(session, answer.cmd_id) == 0
    logs = sandbox.get_session_command_logs(session, answer.cmd_id)
    assert logs.stdout.endswith("Hello Ada\n") and "Name: " in logs.stdout and logs.stdout.count("Ada") == 2
    with pytest.raises(DaytonaCommandAlreadyCompletedError):
        sandbox.send_session_command_input(session, answer.cmd_id, "late")
    answer = sandbox.run(session, "read x; echo got $x", run_async=True, suppress_input_echo=True)
    sandbox.send_session_command_input(session, answer.cmd_id, "secret\n")
    assert sandbox.end(session, answer.cmd_id) == 0
    assert sandbox.get_session_command_logs(session, answer.cmd_id).stdout == "got secret\n"


def test_a_shell_that_ends_is_told(sandbox, session):
    answer = sandbox.run(session, "echo bye; exit 3")
    assert (answer.exit_code, answer.stdout) == (3, "bye\n")
    with pytest.raises(DaytonaSessionEndedError, match="exit code 3"):
        sandbox.run(session, "true")
    assert sandbox.get_session_command_logs(session, answer.cmd_id).stdout == "bye\n"


def test_what_runs_in_the_background_ends_with_the_session(sandbox, session, box):
    answer = sandbox.run(session, "sleep 7271.1 & (setsid sleep 7271.2 &) ; echo started")
    assert (answer.exit_code, answer.stdout) == (0, "started\n")
    assert "sleep 7271." in box.process.exec("ps -eo args").result
    sandbox.delete_session(session)
    assert "sleep 7271." not in box.process.exec("ps -eo args").result
    assert "<defunct>" not in box.process.exec("ps -eo args").result


def test_nonsense_is_refused(sandbox, session):
    for command in ("", "  "):
        with pytest.raises(DaytonaBadRequestError):
            sandbox.run(session, command)
    for name in ("", "entrypoint"):
        with pytest.raises(DaytonaBadRequestError):
            sandbox.create_session(name)


def test_the_entrypoint_is_always_there(sandbox):
    found = sandbox.get_entrypoint_session()
    assert found.session_id == "entrypoint"
    assert [command.id for command in found.commands] in ([], ["entrypoint_command"])
    if found.commands and found.commands[0].exit_code is None:
        # It runs for ever, so following it would, too.
        return
    logs = sandbox.get_entrypoint_logs()
    assert (logs.stdout, logs.stderr) == ("", "")
    heard = []
    sandbox.get_entrypoint_logs_async(heard.append, heard.append)
    assert heard == []
