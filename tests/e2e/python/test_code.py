"""Code in the three languages, run by the language's own program."""

import pytest
from daytona import CodeRunParams, DaytonaTimeoutError
from daytona_toolbox_api_client.exceptions import ApiException

CASES = {
    "python": {
        "hello": "print('hello', 1 + 2)",
        "argv": "import sys, json; print(json.dumps(sys.argv[1:]))",
        "env": "import os; print(os.environ['WHO'])",
        "syntax": "def broken(:",
        "syntax word": "SyntaxError",
        "raise": "raise ValueError('on purpose')",
        "raise word": "ValueError: on purpose",
        "exit": "import sys; print('before'); sys.exit(7)",
        "sleep": "import time; time.sleep(977)",
        "unicode": "print('ünï😀', end='')",
    },
    "javascript": {
        "hello": "console.log('hello', 1 + 2)",
        "argv": "console.log(JSON.stringify(process.argv.slice(2)))",
        "env": "console.log(process.env.WHO)",
        "syntax": "function broken( {",
        "syntax word": "SyntaxError",
        "raise": "throw new TypeError('on purpose')",
        "raise word": "TypeError: on purpose",
        "exit": "console.log('before'); process.exit(7)",
        "sleep": "setTimeout(() => {}, 977000)",
        "unicode": "process.stdout.write('ünï😀')",
    },
    "typescript": {
        "hello": "const sum: number = 1 + 2; interface A { b: string }; console.log('hello', sum)",
        "argv": "const rest: string[] = process.argv.slice(2); console.log(JSON.stringify(rest))",
        "env": "const who: string | undefined = process.env.WHO; console.log(who)",
        "syntax": "function broken( {",
        "syntax word": "error",
        "raise": "throw new TypeError('on purpose' as string)",
        "raise word": "TypeError: on purpose",
        "exit": "console.log('before' as string); process.exit(7)",
        "sleep": "setTimeout((): void => {}, 977000)",
        "unicode": "process.stdout.write('ünï😀' as string)",
    },
}


@pytest.fixture(scope="module", params=sorted(CASES))
def tongue(request, daytona, run_id):
    """A sandbox of each language, with the language's programs."""
    from daytona import CreateSandboxFromSnapshotParams

    labels = {"e2e-run": run_id}
    sandbox = daytona.create(CreateSandboxFromSnapshotParams(language=request.param, labels=labels))
    yield sandbox, CASES[request.param]
    sandbox.delete(wait=True)


def test_hello(tongue):
    sandbox, code = tongue
    answer = sandbox.process.code_run(code["hello"])
    assert (answer.exit_code, answer.result) == (0, "hello 3\n")
    assert answer.artifacts.stdout == "hello 3\n" and answer.artifacts.charts == []


def test_arguments(tongue):
    import json

    sandbox, code = tongue
    arguments = ["one", "two words", "--flag=\"q\" 'q'", "", "ü", "$HOME", "a\nb"]
    answer = sandbox.process.code_run(code["argv"], CodeRunParams(argv=arguments))
    assert json.loads(answer.result) == arguments


def test_variables(tongue):
    sandbox, code = tongue
    assert sandbox.process.code_run(code["env"], CodeRunParams(env={"WHO": "me $HOME"})).result == "me $HOME\n"


def test_a_syntax_error(tongue):
    sandbox, code = tongue
    answer = sandbox.process.code_run(code["syntax"])
    assert answer.exit_code == 1
    assert code["syntax word"].lower() in answer.result.lower()


def test_an_uncaught_error(tongue):
    sandbox, code = tongue
    answer = sandbox.process.code_run(code["raise"])
    assert answer.exit_code == 1
    assert code["raise word"] in answer.result


def test_an_exit_code(tongue):
    sandbox, code = tongue
    answer = sandbox.process.code_run(code["exit"])
    assert (answer.exit_code, answer.result) == (7, "before\n")


def test_unicode(tongue):
    sandbox, code = tongue
    assert sandbox.process.code_run(code["unicode"]).result == "ünï😀"


def test_a_timeout(tongue):
    sandbox, code = tongue
    # The SDK turns the errors of `exec` into its own and leaves those of `code_run` as its generated client raised them.
    with pytest.raises((ApiException, DaytonaTimeoutError)) as caught:
        sandbox.process.code_run(code["sleep"], timeout=2)
    status = caught.value.status if isinstance(caught.value, ApiException) else caught.value.status_code
    assert status == 408
    assert "PROCESS_EXECUTION_TIMEOUT" in repr(caught.value) + str(caught.value)
    assert "977" not in sandbox.process.exec("ps -eo args").result
    for program in ("python3", "node", "ts-node"):
        assert sandbox.process.exec(f"pgrep -x {program}").result == ""


def test_nothing_is_left_behind(tongue):
    sandbox, code = tongue
    before = sandbox.process.exec("ls -A /tmp ~").result
    sandbox.process.code_run(code["hello"])
    assert sandbox.process.exec("ls -A /tmp ~").result == before


def test_large_code(tongue):
    sandbox, code = tongue
    comment = "#" if "import sys" in code["argv"] else "//"
    long = "\n".join(f"{comment} line {number} of a long program" for number in range(20_000))
    assert sandbox.process.code_run(long + "\n" + code["hello"]).result == "hello 3\n"


@pytest.mark.parametrize("language", ["cobol", "Python ", "python; id", 1, None, ["python"]])
def test_a_bad_language_is_refused(box, raw, language):
    answer = raw.toolbox(box, "POST", "/process/code-run", json={"code": "1", "language": language})
    assert answer.status_code == 400, answer.text


def test_the_language_of_an_existing_sandbox_is_kept(create, daytona):
    sandbox = create(language="javascript")
    assert daytona.get(sandbox.id).process.code_run("console.log(typeof process)").result == "object\n"
