"""Commands in a sandbox: what goes in, what comes out, and that nothing of them stays."""

import time

import pytest
from daytona import DaytonaBadRequestError, DaytonaProcessExecutionTimeoutError, DaytonaTimeoutError


def processes(sandbox):
    return sandbox.process.exec("ps -eo args").result


def test_output_and_exit_code(box):
    answer = box.process.exec("echo out; echo err >&2; exit 42")
    assert answer.exit_code == 42
    assert answer.result == "out\nerr\n"
    assert answer.artifacts.stdout == answer.result


def test_success(box):
    answer = box.process.exec("true")
    assert (answer.exit_code, answer.result) == (0, "")


def test_cwd_and_env(box):
    answer = box.process.exec("pwd; echo $A; echo $B", cwd="/tmp", env={"A": "one two", "B": "$A `id` \"'"})
    assert answer.result == "/tmp\none two\n$A `id` \"'\n"


def test_default_cwd_is_the_work_dir(box):
    assert box.process.exec("pwd").result == box.get_work_dir() + "\n"


def test_a_missing_cwd_is_an_answer(box):
    answer = box.process.exec("pwd", cwd="/no/such/folder")
    assert answer.exit_code != 0
    assert "no such file" in answer.result.lower()


def test_command_not_found(box):
    answer = box.process.exec("no-such-command-at-all")
    assert answer.exit_code == 127
    assert "no-such-command-at-all" in answer.result


def test_killed_by_a_signal(box):
    assert box.process.exec("kill -9 $$").exit_code in (137, -1)


def test_heredoc_quotes_and_unicode(box):
    answer = box.process.exec("cat <<'END'\n$HOME \"double\" 'single' `tick` \\back ünï😀\nEND")
    assert answer.result == "$HOME \"double\" 'single' `tick` \\back ünï😀\n"


def test_several_lines_with_functions(box):
    script = "set -e\nadd() { echo $(($1 + $2)); }\nfor n in 1 2 3; do add $n 1; done\nfalse\necho never\n"
    answer = box.process.exec(script)
    assert (answer.exit_code, answer.result) == (1, "2\n3\n4\n")


def test_standard_input_is_empty(box):
    assert box.process.exec("cat; echo end", timeout=10).result == "end\n"


def test_bytes_that_are_not_text(box):
    assert "a" in box.process.exec("printf 'a\\377\\376b\\0c'").result


def test_much_output(box):
    answer = box.process.exec("seq 1 200000")
    lines = answer.result.splitlines()
    assert (len(lines), lines[0], lines[-1]) == (200_000, "1", "200000")


def test_a_long_command(box):
    text = "x" * 100_000
    assert box.process.exec(f"printf %s {text} | wc -c").result.strip() == "100000"


def test_a_background_child_does_not_hold_the_answer(box):
    started = time.monotonic()
    answer = box.process.exec("sleep 30 & echo back")
    assert answer.result == "back\n"
    assert time.monotonic() - started < 28
    box.process.exec("pkill -x sleep")


@pytest.mark.parametrize(
    "command",
    [
        "sleep 981",
        "sh -c 'sleep 981 & sleep 981 & wait'",
        "setsid sleep 981 & setsid sh -c 'setsid sleep 981 & sleep 981' & sleep 981",
        "trap '' TERM INT HUP; setsid nohup sh -c \"trap '' TERM; sleep 981\" & sleep 981",
        "python3 -c 'import os,time; os.fork(); os.setsid() if os.fork()==0 else 0; time.sleep(981)'",
        "(sleep 981 &) ; (setsid sleep 981 >/dev/null 2>&1 < /dev/null &) ; sleep 981",
    ],
)
def test_a_timeout_kills_the_whole_tree(box, command):
    started = time.monotonic()
    with pytest.raises(DaytonaTimeoutError) as caught:
        box.process.exec(command, timeout=1)
    assert caught.value.status_code == 408
    assert isinstance(caught.value, DaytonaProcessExecutionTimeoutError)
    assert time.monotonic() - started < 60
    assert "981" not in processes(box)


def test_a_command_within_its_timeout(box):
    assert box.process.exec("sleep 0.2; echo done", timeout=20).result == "done\n"


def test_the_sandbox_works_after_timeouts(box):
    assert box.process.exec("echo still here").result == "still here\n"


@pytest.mark.parametrize("command", ["", " ", "\n\t"])
def test_an_empty_command_is_refused(box, command):
    with pytest.raises(DaytonaBadRequestError):
        box.process.exec(command)


@pytest.mark.parametrize("name", ["1A", "A-B", "A B", "A=B", ""])
def test_a_bad_variable_name_is_refused(box, name):
    with pytest.raises(DaytonaBadRequestError):
        box.process.exec("true", env={name: "x"})


def test_orphans_are_collected(box):
    box.process.exec("for n in 1 2 3 4 5; do sh -c 'sleep 0.1 &' ; done")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if "Z" not in box.process.exec("ps -eo stat --no-headers").result:
            return
        time.sleep(0.2)
    pytest.fail("zombies stay: " + box.process.exec("ps -ef").result)


def test_many_at_once(box):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda n: box.process.exec(f"sleep 0.1; echo {n}").result, range(64)))
    assert results == [f"{n}\n" for n in range(64)]


def test_the_names_of_outputs_are_the_users(box):
    """Pipes are opened by their names with the rights of whoever opens them."""
    answer = box.process.exec("id -un; echo out > /dev/stdout; echo err > /dev/stderr; echo more | tee /proc/self/fd/2")
    assert (answer.exit_code, answer.result.split()) == (0, ["daytona", "out", "err", "more", "more"])
    run = box.code_interpreter.run_code("open('/dev/stdout', 'w').write('out'); open('/dev/stderr', 'w').write('err')")
    assert (run.stdout, run.stderr, run.error) == ("out", "err", None)
