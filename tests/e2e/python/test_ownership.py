"""Whatever makes files makes them for the sandbox's user: owner, umask and home are the same through every tool."""

import pytest
from daytona import FileUpload, SessionExecuteRequest
from daytona.common.pty import PtySize

HOME = "/home/daytona"
# What each tool leaves: a file and a folder as `umask 022` has them.
FILE, FOLDER = "daytona:daytona 644", "daytona:daytona 755"


def described(box, path):
    return box.process.exec(f"stat -c '%U:%G %a' {path}").result.strip()


@pytest.fixture
def folder(box):
    path = f"{HOME}/owned"
    box.fs.create_folder(path, "755")
    yield path
    box.fs.delete_file(path, recursive=True)


def test_files_and_folders(box, folder):
    box.fs.upload_file(b"x", f"{folder}/one/two/file")
    box.fs.upload_files([FileUpload(source=b"x", destination=f"{folder}/three/file")])
    box.fs.create_folder(f"{folder}/plain", "755")
    box.fs.create_folder(f"{folder}/narrow/inner", "700")
    box.fs.replace_in_files(files=[f"{folder}/three/file"], pattern="x", new_value="y")
    for path in ("one/two/file", "three/file"):
        assert described(box, f"{folder}/{path}") == FILE
    # The contract makes the folders above an upload 0750.
    for path in ("one", "one/two", "three"):
        assert described(box, f"{folder}/{path}") == "daytona:daytona 750"
    assert described(box, f"{folder}/plain") == FOLDER
    assert described(box, f"{folder}/narrow/inner") == "daytona:daytona 700"


SHELL = "umask; echo $HOME; whoami; cd; pwd; touch {0}; mkdir {0}.d"
ANSWER = ["0022", HOME, "daytona", HOME]


def check(box, said, path):
    assert [line.strip() for line in said.splitlines() if line.strip()] == ANSWER
    assert (described(box, path), described(box, f"{path}.d")) == (FILE, FOLDER)


def test_a_command(box, folder):
    check(box, box.process.exec(SHELL.format(f"{folder}/exec")).result, f"{folder}/exec")


def test_code(box, folder):
    code = f"import os, subprocess; print(subprocess.check_output({SHELL.format(f'{folder}/code')!r}, shell=True, text=True))"
    check(box, box.process.code_run(code).result, f"{folder}/code")


def test_a_session(box, folder):
    box.process.create_session("owned")
    try:
        request = SessionExecuteRequest(command=SHELL.format(f"{folder}/session"))
        check(box, box.process.execute_session_command("owned", request).stdout, f"{folder}/session")
    finally:
        box.process.delete_session("owned")


def test_a_terminal(box, folder):
    said = bytearray()
    terminal = box.process.create_pty_session("owned", pty_size=PtySize(cols=200, rows=24))
    try:
        # Told into a file: what the screen shows has echoes and prompts in between.
        terminal.send_input(f"({SHELL.format(f'{folder}/pty')}) > {folder}/said; exit\n")
        terminal.wait(on_data=said.extend, timeout=60)
    finally:
        terminal.disconnect()
    check(box, box.fs.download_file(f"{folder}/said").decode(), f"{folder}/pty")


def test_a_repository(box, folder):
    box.process.exec(f"git -c init.defaultBranch=main init -q {folder}/origin && cd {folder}/origin && echo x > file && "
                     "git add . && git -c user.name=a -c user.email=a@b commit -qm first")
    box.git.clone(f"{folder}/origin", f"{folder}/clone")
    assert described(box, f"{folder}/clone") == FOLDER
    assert described(box, f"{folder}/clone/file") == FILE
    assert described(box, f"{folder}/clone/.git") == FOLDER
