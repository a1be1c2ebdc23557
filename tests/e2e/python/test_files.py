"""Files in a sandbox: every operation, with names that are hard to quote."""

import io
import threading

import pytest
from daytona import (
    DaytonaBadRequestError,
    DaytonaConflictError,
    DaytonaError,
    DaytonaFileAccessDeniedError,
    DaytonaFileNotFoundError,
    DaytonaNotFoundError,
    FileDownloadRequest,
    FileUpload,
)

NAMES = [
    "plain.txt",
    "with space.txt",
    "ünïcödé 😀 漢字.txt",
    "quote'single.txt",
    'quote"double.txt',
    "back\\slash.txt",
    "semi;colon&and|pipe.txt",
    "dollar$HOME`id`.txt",
    "percent%20%2F%00.txt",
    "plus+equals=hash#question?.txt",
    "new\nline.txt",
    "-dash.txt",
    ".hidden",
    "[glob]*.txt",
    "x" * 255,
]


@pytest.fixture
def folder(box):
    """An empty folder, gone after the case."""
    path = "/home/daytona/case"
    box.fs.create_folder(path, "755")
    yield path
    box.fs.delete_file(path, recursive=True)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_survives_every_operation(box, folder, name):
    path, moved, content = f"{folder}/{name}", f"{folder}/moved", f"content of {name!r}\n".encode()
    box.fs.upload_file(content, path)
    assert box.fs.download_file(path) == content
    assert b"".join(box.fs.download_file_stream(path)) == content
    info = box.fs.get_file_info(path)
    assert (info.name, info.size, info.is_dir) == (name, len(content), False)
    assert [entry.name for entry in box.fs.list_files(folder)] == [name]
    assert box.fs.search_files(folder, "*").files == [path]
    assert [match.file for match in box.fs.find_files(folder, "content of")] == [path]
    box.fs.set_file_permissions(path, mode="600")
    assert box.fs.get_file_info(path).permissions == "0600"
    box.fs.move_files(path, moved)
    assert box.fs.download_file(moved) == content
    box.fs.move_files(moved, path)
    box.fs.delete_file(path)
    assert box.fs.list_files(folder) == []


def test_uploads_belong_to_the_user(box, folder):
    box.fs.upload_file(b"mine", f"{folder}/deep/er/file")
    assert box.process.exec(f"stat -c '%U:%G' {folder}/deep {folder}/deep/er/file").result == "daytona:daytona\n" * 2
    box.process.exec(f"echo more >> {folder}/deep/er/file")
    assert box.fs.download_file(f"{folder}/deep/er/file") == b"minemore\n"


def test_an_upload_overwrites(box, folder):
    for content in (b"a long first content", b"short", b""):
        box.fs.upload_file(content, f"{folder}/file")
        assert box.fs.get_file_info(f"{folder}/file").size == len(content)
    assert box.fs.download_file(f"{folder}/file") == b""


def test_relative_paths_start_in_the_work_dir(box, folder):
    box.fs.upload_file(b"relative", "case/relative.txt")
    assert box.fs.download_file(f"{folder}/relative.txt") == b"relative"
    assert box.fs.get_file_info("case/relative.txt").size == 8


def test_several_at_once(box, folder, tmp_path):
    local = tmp_path / "local.bin"
    local.write_bytes(bytes(range(256)) * 100)
    box.fs.upload_files(
        [
            FileUpload(b"first", f"{folder}/one"),
            FileUpload(str(local), f"{folder}/two ü.bin"),
            FileUpload(b"", f"{folder}/sub/empty"),
        ]
    )
    target = tmp_path / "back.bin"
    answers = box.fs.download_files(
        [
            FileDownloadRequest(f"{folder}/one"),
            FileDownloadRequest(f"{folder}/two ü.bin", str(target)),
            FileDownloadRequest(f"{folder}/missing"),
            FileDownloadRequest(f"{folder}/sub"),
        ]
    )
    assert answers[0].result == b"first" and answers[0].error is None
    assert target.read_bytes() == local.read_bytes()
    assert answers[2].error_details.code == "FILE_NOT_FOUND" and answers[2].error_details.status_code == 404
    assert answers[3].error_details.code == "INVALID_FILE_PATH"


def test_streams_with_progress_and_cancel(box, folder):
    content = bytes(range(256)) * 20_000
    seen = []
    box.fs.upload_file_stream(io.BytesIO(content), f"{folder}/s", on_progress=lambda p: seen.append(p.bytes_sent))
    assert seen[-1] == len(content) and len(seen) > 1
    progress = []
    chunks = box.fs.download_file_stream(f"{folder}/s", on_progress=progress.append)
    assert b"".join(chunks) == content
    assert progress[-1].bytes_received == progress[-1].total_bytes == len(content)
    cancel = threading.Event()
    stream = box.fs.download_file_stream(f"{folder}/s", cancel_event=cancel)
    next(stream)
    cancel.set()
    with pytest.raises(DaytonaError):
        for _ in stream:
            pass


def test_info_of_a_folder(box, folder):
    info = box.fs.get_file_info(folder)
    assert info.is_dir and info.name == "case"
    assert info.permissions == "0755" and info.mode.startswith("d")
    assert info.mod_time and info.owner and info.group


def test_folders(box, folder):
    box.fs.create_folder(f"{folder}/a/b/c", "700")
    assert box.fs.get_file_info(f"{folder}/a/b/c").permissions == "0700"
    box.fs.create_folder(f"{folder}/a/b/c", "700")
    with pytest.raises(DaytonaBadRequestError):
        box.fs.create_folder(f"{folder}/d", "rwx")


def test_listing_in_depth(box, folder):
    for path in ("a/b/c.txt", "a/d.txt", "e.txt"):
        box.fs.upload_file(b"x", f"{folder}/{path}")

    def names(**depth):
        return sorted(entry.path.removeprefix(folder + "/") for entry in box.fs.list_files(folder, **depth))

    assert names() == ["a", "e.txt"]
    assert names(depth=2) == ["a", "a/b", "a/d.txt", "e.txt"]
    assert names(depth=3) == ["a", "a/b", "a/b/c.txt", "a/d.txt", "e.txt"]


def test_deletion(box, folder):
    box.fs.upload_file(b"x", f"{folder}/full/file")
    with pytest.raises(DaytonaBadRequestError):
        box.fs.delete_file(f"{folder}/full")
    assert box.fs.get_file_info(f"{folder}/full/file").size == 1
    box.fs.delete_file(f"{folder}/full", recursive=True)
    with pytest.raises(DaytonaFileNotFoundError):
        box.fs.get_file_info(f"{folder}/full")
    with pytest.raises(DaytonaFileNotFoundError):
        box.fs.delete_file(f"{folder}/full")


def test_deletion_does_not_follow_links(box, folder):
    box.process.exec(f"mkdir {folder}/kept {folder}/gone; echo x > {folder}/kept/f; ln -s ../kept {folder}/gone/link")
    box.fs.delete_file(f"{folder}/gone", recursive=True)
    assert box.fs.download_file(f"{folder}/kept/f") == b"x\n"


def test_moving(box, folder):
    box.fs.upload_file(b"one", f"{folder}/one")
    box.fs.upload_file(b"two", f"{folder}/two")
    with pytest.raises(DaytonaConflictError):
        box.fs.move_files(f"{folder}/one", f"{folder}/two")
    assert box.fs.download_file(f"{folder}/two") == b"two"
    with pytest.raises(DaytonaNotFoundError):
        box.fs.move_files(f"{folder}/missing", f"{folder}/three")
    box.fs.create_folder(f"{folder}/from/inner", "755")
    box.fs.move_files(f"{folder}/from", f"{folder}/to")
    assert box.fs.get_file_info(f"{folder}/to/inner").is_dir
    # Another file system: a rename alone does not do it.
    box.fs.move_files(f"{folder}/one", "/dev/shm/one")
    assert box.fs.download_file("/dev/shm/one") == b"one"
    box.fs.delete_file("/dev/shm/one")


def test_permissions(box, folder):
    box.fs.upload_file(b"x", f"{folder}/file")
    box.fs.set_file_permissions(f"{folder}/file", mode="640", owner="daytona", group="daytona")
    assert box.process.exec(f"stat -c '%a %U %G' {folder}/file").result == "640 daytona daytona\n"
    for bad in ({"mode": "999"}, {"mode": "u+x"}, {"owner": "nobody-of-that-name"}, {"group": "no-such-group"}):
        with pytest.raises(DaytonaBadRequestError):
            box.fs.set_file_permissions(f"{folder}/file", **bad)


def test_find(box, folder):
    box.fs.upload_file("first TODO: a.b\nsecond\nTODO: ünï axb\n".encode(), f"{folder}/a.txt")
    box.fs.upload_file(b"TODO: a.b\n", f"{folder}/sub/b.txt")
    box.fs.upload_file(b"\0\1TODO: a.b\n", f"{folder}/binary")
    matches = sorted((m.file.removeprefix(folder), m.line, m.content) for m in box.fs.find_files(folder, "a.b"))
    assert matches == [("/a.txt", 1, "first TODO: a.b"), ("/sub/b.txt", 1, "TODO: a.b")]
    assert box.fs.find_files(folder, "not there") == []
    assert [m.line for m in box.fs.find_files(f"{folder}/a.txt", "TODO")] == [1, 3]


def test_search(box, folder):
    for path in ("a.py", "b.txt", "sub/c.py", "sub/deep/d.PY", ".e.py"):
        box.fs.upload_file(b"x", f"{folder}/{path}")
    found = sorted(path.removeprefix(folder + "/") for path in box.fs.search_files(folder, "*.py").files)
    assert found == [".e.py", "a.py", "sub/c.py"]
    assert box.fs.search_files(folder, "?.txt").files == [f"{folder}/b.txt"]
    assert box.fs.search_files(folder, "nothing*").files == []


def test_replace(box, folder):
    box.fs.upload_file(b"old.value and old.value\n", f"{folder}/a")
    box.fs.upload_file(b"oldxvalue\n", f"{folder}/b")
    box.fs.set_file_permissions(f"{folder}/a", mode="750")
    files = [f"{folder}/a", f"{folder}/b", f"{folder}/missing"]
    answers = box.fs.replace_in_files(files=files, pattern="old.value", new_value="new $1")
    assert box.fs.download_file(f"{folder}/a") == b"new $1 and new $1\n"
    assert box.fs.download_file(f"{folder}/b") == b"oldxvalue\n"
    assert [answer.success for answer in answers] == [True, True, False]
    assert answers[2].error


def test_missing_files(box, folder):
    missing = f"{folder}/missing"
    for operation in (
        lambda: box.fs.download_file(missing),
        lambda: list(box.fs.download_file_stream(missing)),
        lambda: box.fs.get_file_info(missing),
        lambda: box.fs.list_files(missing),
        lambda: box.fs.set_file_permissions(missing, mode="644"),
    ):
        with pytest.raises(DaytonaFileNotFoundError) as caught:
            operation()
        assert (caught.value.status_code, caught.value.code) == (404, "FILE_NOT_FOUND")
        assert caught.value.source == "DAYTONA_DAEMON"


def test_forbidden_files(box):
    for operation in (
        lambda: box.fs.download_file("/etc/shadow"),
        lambda: box.fs.list_files("/root"),
    ):
        with pytest.raises(DaytonaFileAccessDeniedError) as caught:
            operation()
        assert (caught.value.status_code, caught.value.code) == (403, "FILE_ACCESS_DENIED")
    with pytest.raises(DaytonaError):
        box.fs.upload_file(b"x", "/etc/passwd")
    assert "root:x:0:0" in box.fs.download_file("/etc/passwd").decode()


def test_what_is_cut_short_says_so(box, folder, raw):
    box.process.exec(f"yes needle | head -n 10001 > {folder}/many; yes needle | head -n 3 > {folder}/few")
    for name, truncated, lines in (("many", "true", 10_000), ("few", "false", 3)):
        answer = raw.toolbox(box, "GET", "/files/find", params={"path": f"{folder}/{name}", "pattern": "needle"})
        assert (answer.headers["x-daytona-truncated"], len(answer.json())) == (truncated, lines)


def test_many_files_are_searched_in_order(box, folder):
    script = "import os\nfor n in range(3000): open(f'{d}/{n:04}', 'w').write('hay\\nneedle\\n' if n % 100 == 0 else 'hay\\n')"
    box.process.code_run(f"d = {folder!r}\n{script}")
    matches = [(match.file, match.line) for match in box.fs.find_files(folder, "needle")]
    assert matches == [(f"{folder}/{number:04}", 2) for number in range(0, 3000, 100)]
