"""Language servers in a sandbox, as the official SDK asks them."""

import asyncio

import pytest
from daytona import (
    AsyncDaytona,
    CreateSandboxFromSnapshotParams,
    DaytonaBadRequestError,
    DaytonaLspServerNotInitializedError,
    DaytonaNotFoundError,
    DaytonaTimeoutError,
    LspCompletionPosition,
    LspLanguageId,
)

import conftest

GREETER = """class Greeter:
    def greet(self, name):
        return "hello " + name


greeter = Greeter()
greeter.
"""
GREETER_TS = """export class Greeter {
  greet(name: string): string { return 'hello ' + name }
}
const greeter = new Greeter()
greeter.
"""


def place(line, character):
    return LspCompletionPosition(line=line, character=character)


@pytest.fixture(scope="module")
def project(toolbox):
    toolbox.fs.create_folder("project", "755")
    toolbox.fs.upload_file(GREETER.encode(), "project/greeter.py")
    toolbox.fs.upload_file(GREETER_TS.encode(), "project/greeter.ts")
    return toolbox


def test_python_from_start_to_stop(project):
    server = project.create_lsp_server(LspLanguageId.PYTHON, "project")
    server.start()
    server.start()
    path = f"{project.get_work_dir()}/project/greeter.py"
    server.did_open(path)
    symbols = server.document_symbols(path)
    assert {symbol.name: symbol.kind for symbol in symbols}.get("Greeter") == 5
    assert all(symbol.location.uri == f"file://{path}" for symbol in symbols)
    assert sorted(symbol.name for symbol in server.sandbox_symbols("Greeter")) == ["Greeter", "greeter"]
    proposals = server.completions(path, place(6, 8))
    assert any(item.label.startswith("greet") for item in proposals.items)
    server.did_close(path)
    server.stop()
    with pytest.raises(DaytonaLspServerNotInitializedError, match="/lsp/start"):
        server.document_symbols(path)


def test_python_with_paths_that_are_relative(project):
    server = project.create_lsp_server("python", "./project/")
    server.start()
    server.did_open("project/greeter.py")
    assert "greet" in [symbol.name for symbol in server.document_symbols("project/greeter.py")]
    project.fs.upload_file(b"class Later:\n    pass\n", "project/later.py")
    assert "Later" in [symbol.name for symbol in server.document_symbols("project/later.py")]
    project.fs.upload_file(b"class Latest:\n    pass\n", "project/later.py")
    assert [symbol.name for symbol in server.document_symbols("project/later.py")] == ["Latest"]
    server.stop()


def patiently(ask):
    """Asks again when it takes too long: on a busy machine a server is long at reading its project."""
    for _ in range(3):
        try:
            return ask()
        except DaytonaTimeoutError:
            pass
    return ask()


def test_typescript_from_start_to_stop(project):
    server = project.create_lsp_server(LspLanguageId.TYPESCRIPT, "project")
    server.start()
    assert "Greeter" in [symbol.name for symbol in patiently(lambda: server.workspace_symbols("Greeter"))]
    server.did_open("project/greeter.ts")
    assert {"Greeter", "greet"} <= {symbol.name for symbol in server.document_symbols("project/greeter.ts")}
    assert "greet" in [item.label for item in server.completions("project/greeter.ts", place(4, 8)).items]
    server.did_close("project/greeter.ts")
    server.stop()


def test_without_a_server_everything_says_how_to_start_one(project):
    server = project.create_lsp_server("javascript", "project")
    for call in (
        server.stop,
        lambda: server.did_open("project/greeter.py"),
        lambda: server.did_close("project/greeter.py"),
        lambda: server.document_symbols("project/greeter.py"),
        lambda: server.sandbox_symbols("x"),
        lambda: server.completions("project/greeter.py", place(0, 0)),
    ):
        with pytest.raises(DaytonaLspServerNotInitializedError, match="/lsp/start"):
            call()


def test_what_cannot_be_started_says_why(project, box):
    with pytest.raises(DaytonaBadRequestError, match="unsupported languageId"):
        project.create_lsp_server("cobol", "project").start()
    with pytest.raises(DaytonaNotFoundError):
        project.create_lsp_server("python", "no/such/project").start()
    # The default image has no language server.
    with pytest.raises(DaytonaLspServerNotInitializedError, match="pip install python-lsp-server"):
        box.create_lsp_server("python", ".").start()


def test_a_server_that_crashed_is_reported_and_can_be_started_again(project):
    server = project.create_lsp_server("python", "project")
    server.start()
    server.did_open("project/greeter.py")
    # As the sandbox's user, whose process it is.
    assert project.process.exec("pkill -9 -f '[p]ylsp'").exit_code == 0
    with pytest.raises(DaytonaLspServerNotInitializedError, match="exit code 137.*start it again"):
        for _ in range(100):
            server.document_symbols("project/greeter.py")
    server.start()
    assert "Greeter" in [symbol.name for symbol in server.document_symbols("project/greeter.py")]
    server.stop()
    left = project.process.exec("pgrep -f '[p]ylsp'")
    assert (left.exit_code, left.result) == (1, "")


def test_the_asynchronous_client(run_id):
    async def case():
        async with AsyncDaytona() as daytona:
            params = CreateSandboxFromSnapshotParams(
                snapshot=conftest.TOOLBOX, labels={conftest.RUN_LABEL: run_id}
            )
            sandbox = await daytona.create(params, timeout=60)
            try:
                await sandbox.fs.create_folder("project", "755")
                await sandbox.fs.upload_file(GREETER.encode(), "project/greeter.py")
                server = sandbox.create_lsp_server(LspLanguageId.PYTHON, "project")
                with pytest.raises(DaytonaLspServerNotInitializedError):
                    await server.did_open("project/greeter.py")
                await server.start()
                await server.did_open("project/greeter.py")
                symbols = await server.document_symbols("project/greeter.py")
                assert "Greeter" in [symbol.name for symbol in symbols]
                assert len(await server.sandbox_symbols("Greeter")) > 0
                proposals = await server.completions("project/greeter.py", place(6, 8))
                assert any(item.label.startswith("greet") for item in proposals.items)
                await server.did_close("project/greeter.py")
                await server.stop()
            finally:
                await sandbox.delete(timeout=60, wait=True)

    asyncio.run(case())
