"""The code interpreter, as both clients of the official SDK use it."""

import asyncio

import pytest
from daytona import AsyncDaytona, DaytonaError, DaytonaTimeoutError


class Heard:
    """What the handlers of one call were given."""

    def __init__(self):
        self.out, self.err, self.errors = [], [], []

    def handlers(self):
        return {
            "on_stdout": lambda message: self.out.append(message.output),
            "on_stderr": lambda message: self.err.append(message.output),
            "on_error": self.errors.append,
        }


def test_state_is_kept_and_streams_are_apart(box):
    interpreter, heard = box.code_interpreter, Heard()
    code = "import sys\nkept = 6 * 7\nprint('é', kept)\nprint('err', file=sys.stderr)\nkept"
    answer = interpreter.run_code(code, **heard.handlers())
    assert (answer.stdout, answer.stderr, answer.error) == ("é 42\n", "err\n", None)
    assert ("".join(heard.out), "".join(heard.err), heard.errors) == ("é 42\n", "err\n", [])
    assert interpreter.run_code("print(kept + 1)").stdout == "43\n"


def test_an_error_has_its_lines(box):
    heard = Heard()
    answer = box.code_interpreter.run_code("print('before')\ndef f():\n    return 1 / 0\nf()", **heard.handlers())
    assert answer.stdout == "before\n"
    assert (answer.error.name, answer.error.value) == ("ZeroDivisionError", "division by zero")
    assert answer.error.traceback.count("  File ") == 2 and "return 1 / 0" in answer.error.traceback
    assert len(heard.errors) == 1
    assert box.code_interpreter.run_code("x = (").error.name == "SyntaxError"
    assert box.code_interpreter.run_code("input()").error.name == "EOFError"


def test_contexts_are_apart(box):
    interpreter = box.code_interpreter
    one, two = interpreter.create_context(), interpreter.create_context(cwd="/tmp")
    assert (one.language, one.active, two.cwd) == ("python", True, "/tmp")
    assert [context.id for context in interpreter.list_contexts()] == [one.id, two.id]
    interpreter.run_code("name = 'one'", context=one)
    interpreter.run_code("name = 'two'", context=two)
    assert interpreter.run_code("print(name)", context=one).stdout == "one\n"
    assert interpreter.run_code("import os; print(name, os.getcwd())", context=two).stdout == "two /tmp\n"
    interpreter.delete_context(one)
    with pytest.raises(DaytonaError):
        interpreter.run_code("1", context=one)
    with pytest.raises(DaytonaError):
        interpreter.delete_context(one)
    interpreter.delete_context(two)
    assert interpreter.list_contexts() == []


def test_a_context_needs_a_directory(box):
    with pytest.raises(DaytonaError):
        box.code_interpreter.create_context(cwd="/no/such")


def test_variables_last_for_one_call(box):
    run = box.code_interpreter.run_code
    assert run("import os; print(os.environ['ONCE'])", envs={"ONCE": "x y"}).stdout == "x y\n"
    assert run("import os; print(os.environ.get('ONCE'))").stdout == "None\n"
    with pytest.raises(DaytonaError):
        run("1", envs={"A-B": "x"})


def test_empty_code_is_refused(box):
    with pytest.raises(DaytonaError):
        box.code_interpreter.run_code(" ")


def test_a_timeout_keeps_the_variables(box):
    run = box.code_interpreter.run_code
    run("import time\nkept = 'yes'")
    with pytest.raises(DaytonaTimeoutError):
        run("time.sleep(977)", timeout=1)
    assert run("print(kept)").stdout == "yes\n"


def test_a_process_that_dies_is_replaced(box):
    run = box.code_interpreter.run_code
    run("lost = 1")
    for code, word in [("import os; os._exit(3)", "exit code 3"), ("import ctypes; ctypes.string_at(0)", "SIGSEGV")]:
        answer = run(code)
        assert answer.error.name == "InterpreterDied" and word in answer.error.value
        assert run("print(lost)").error.name == "NameError"


def test_the_user_is_the_sandbox_s_own(box):
    answer = box.code_interpreter.run_code("import os; print(os.getuid(), os.getcwd())")
    assert answer.stdout == box.process.exec("echo $(id -u) $PWD").result


def test_much_output(box):
    size = 0

    def count(message):
        nonlocal size
        size += len(message.output)

    code = "line = 'x' * (1 << 20)\nfor _ in range(16): print(line, end='')"
    # The client keeps what it got, and copies all of it for each piece; hence no more.
    assert box.code_interpreter.run_code(code, on_stdout=count).error is None
    assert size == 16 << 20


def with_async(box, work):
    async def main():
        async with AsyncDaytona() as daytona:
            return await work((await daytona.get(box.id)).code_interpreter)

    return asyncio.run(main())


def test_async_state_errors_and_contexts(box):
    async def work(interpreter):
        context = await interpreter.create_context()
        await interpreter.run_code("x = 5", context=context)
        assert (await interpreter.run_code("print(x)", context=context)).stdout == "5\n"
        failed = await interpreter.run_code("raise ValueError('on purpose')", context=context)
        assert (failed.error.name, failed.error.value) == ("ValueError", "on purpose")
        assert context.id in [other.id for other in await interpreter.list_contexts()]
        await interpreter.delete_context(context)
        with pytest.raises(DaytonaError):
            await interpreter.run_code("1", context=context)

    with_async(box, work)


def test_async_calls_of_two_contexts_run_beside_each_other(box):
    async def work(interpreter):
        one, two = [await interpreter.create_context() for _ in range(2)]
        # Each waits for the other: one after the other they would never end.
        code = "import os, time\nopen('/tmp/{0}', 'w').close()\nwhile not os.path.exists('/tmp/{1}'): time.sleep(0.01)"
        await asyncio.gather(
            interpreter.run_code(code.format("a", "b"), context=one),
            interpreter.run_code(code.format("b", "a"), context=two),
        )
        for context in (one, two):
            await interpreter.delete_context(context)

    with_async(box, work)


def test_async_timeout(box):
    async def work(interpreter):
        with pytest.raises(DaytonaTimeoutError):
            await interpreter.run_code("import time; time.sleep(977)", timeout=1)

    with_async(box, work)
