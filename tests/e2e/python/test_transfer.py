"""Large contents: they arrive whole, and a disk that is too small is an answer and not a wound."""

import hashlib
import os

import httpx
import pytest
from daytona import DaytonaError

MEBIBYTE = 2**20


def blocks(count, block=os.urandom(MEBIBYTE)):
    for number in range(count):
        yield number.to_bytes(8, "big") + block[8:]


def digest_of(chunks):
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def test_a_hundred_megabytes_there_and_back(box, tmp_path):
    local, back = tmp_path / "there", tmp_path / "back"
    with local.open("wb") as file:
        for block in blocks(100):
            file.write(block)
    expected = digest_of(blocks(100))
    box.fs.upload_file(str(local), "/home/daytona/large")
    assert box.process.exec("sha256sum < /home/daytona/large").result.split()[0] == expected
    box.fs.download_file("/home/daytona/large", str(back))
    assert digest_of(iter(lambda file=back.open("rb"): file.read(MEBIBYTE), b"")) == expected
    assert digest_of(box.fs.download_file_stream("/home/daytona/large")) == expected
    box.fs.delete_file("/home/daytona/large")


def test_upload_v2_takes_a_raw_body_and_a_form(box, raw):
    answer = raw.toolbox(box, "POST", "/files/upload-v2", params={"path": "/tmp/v2/raw ü"}, content=blocks(3))
    assert answer.status_code == 200, answer.text
    assert digest_of([box.fs.download_file("/tmp/v2/raw ü")]) == digest_of(blocks(3))
    answer = raw.toolbox(box, "POST", "/files/upload-v2", params={"path": "/tmp/v2/form"}, files={"file": b"form"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["path"] == "/tmp/v2/form" and answer.json()["name"] == "form"
    assert box.fs.download_file("/tmp/v2/form") == b"form"


def test_download_by_address(box, raw):
    box.fs.upload_file("straight ü".encode(), "/tmp/straight ü.txt")
    answer = raw.toolbox(box, "GET", "/files/download", params={"path": "/tmp/straight ü.txt"})
    assert answer.status_code == 200 and answer.content == "straight ü".encode()
    assert "attachment" in answer.headers["content-disposition"]


def free_bytes(sandbox):
    return int(sandbox.process.exec("df --output=avail -B1 / | tail -1").result)


@pytest.mark.parametrize("operation", ["upload-v2", "upload-v2 with a length", "bulk-upload"])
def test_more_than_the_disk_holds(create_raw, raw, operation):
    sandbox = create_raw(disk=1)
    before = free_bytes(sandbox)
    size = 5 * 1024
    if operation == "bulk-upload":

        class Stream:
            """A file that is made as it is read."""

            def __init__(self):
                self.blocks = blocks(size)

            def read(self, _count=-1):
                return next(self.blocks, b"")

        with pytest.raises((DaytonaError, httpx.HTTPError)) as caught:
            sandbox.fs.upload_file_stream(Stream(), "/home/daytona/huge")
        if isinstance(caught.value, DaytonaError):
            assert 400 <= (caught.value.status_code or 400) < 500 and "space" in str(caught.value).lower()
    else:
        headers = {"Content-Length": str(size * MEBIBYTE)} if "length" in operation else {}
        path = {"path": "/home/daytona/huge"}
        answer = raw.toolbox(
            sandbox, "POST", "/files/upload-v2", params=path, content=blocks(size), headers=headers
        )
        assert answer.status_code == 413, answer.text
        assert answer.json()["code"] == "DISK_FULL"
    assert sandbox.process.exec("ls -A /home/daytona").result.split() == [".bash_logout", ".bashrc", ".profile"]
    assert free_bytes(sandbox) > before - 16 * MEBIBYTE
    sandbox.fs.upload_file(b"fits", "/home/daytona/small")
    assert sandbox.fs.download_file("/home/daytona/small") == b"fits"


def test_a_full_disk_is_one_sandboxs_own(create_raw):
    full, neighbour = create_raw(disk=1), create_raw(disk=1)
    answer = full.process.exec("head -c 3G /dev/zero > /home/daytona/full")
    assert answer.exit_code != 0 and "no space left" in answer.result.lower()
    neighbour.fs.upload_file(b"x" * MEBIBYTE, "/home/daytona/one")
    assert full.process.exec("rm /home/daytona/full; echo ok > /home/daytona/f; cat /home/daytona/f").result == "ok\n"


def test_an_upload_that_breaks_off_leaves_nothing(box, raw):
    def broken():
        yield b"x" * MEBIBYTE
        raise RuntimeError("the client goes away")

    with pytest.raises(RuntimeError):
        raw.toolbox(box, "POST", "/files/upload-v2", params={"path": "/tmp/half"}, content=broken())
    assert box.process.exec("sleep 0.5; ls -A /tmp | grep -i half").result == ""
