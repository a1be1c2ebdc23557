"""What a build needs arrives: the official client's own upload, over TLS that the host trusts, and not without."""

import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile

import pytest

# Where Debian keeps whom it trusts; only ever covered in a mount namespace of our own.
TRUSTED = "/etc/ssl/certs/ca-certificates.crt"
UPLOAD = str(pathlib.Path(__file__).with_name("contexts_upload.py"))
PATIENCE_S = 180


@pytest.fixture
def authority():
    path = os.environ.get("E2E_AUTHORITY")
    if not path:
        pytest.skip("E2E_AUTHORITY does not name the certificate of the server's authority")
    if os.geteuid() != 0:
        pytest.skip("only root can cover the file of trusted authorities")
    return path


@pytest.fixture
def home(tmp_path):
    (tmp_path / "one.txt").write_text("one file")
    (tmp_path / "two.txt").write_text("by a command")
    (tmp_path / "requirements.txt").write_text("six==1.17.0\n")
    (tmp_path / "tree/below").mkdir(parents=True)
    (tmp_path / "tree/below/three.txt").write_text("in a tree")
    (tmp_path / "tree/big.bin").write_bytes(os.urandom(12 << 20))
    return tmp_path


def upload(kind, home, trusted):
    # A namespace of its own: what is mounted in it nobody else sees, and it goes with its process.
    script = f'mount --bind "$1" {TRUSTED} && shift && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(trusted)]
    command += [sys.executable, UPLOAD, kind, str(home)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_every_way_to_add_files_arrives(authority, home, kind):
    done = upload(kind, home, authority)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["url"].startswith("https://")
    members = {}
    for content in answer["contexts"].values():
        with tarfile.open(fileobj=io.BytesIO(bytes.fromhex(content))) as archive:
            for member in archive.getmembers():
                if member.isfile():
                    members[os.path.basename(member.name)] = archive.extractfile(member).read()
    for path in ("one.txt", "two.txt", "requirements.txt", "tree/below/three.txt", "tree/big.bin"):
        assert members[os.path.basename(path)] == (home / path).read_bytes(), path


def test_a_host_that_does_not_trust_the_server_uploads_nothing(authority, home, tmp_path):
    (tmp_path / "nobody.crt").write_text("")
    done = upload("sync", home, tmp_path / "nobody.crt")
    assert done.returncode != 0


def test_access_is_for_those_who_may_build(raw):
    access = raw.api("GET", "/object-storage/push-access")
    assert access.status_code == 200, access.text
    body = access.json()
    names = {"accessKey", "secret", "sessionToken", "storageUrl", "organizationId", "bucket", "region"}
    assert set(body) == names and all(body.values())
    again = raw.api("GET", "/object-storage/push-access").json()
    assert again["accessKey"] != body["accessKey"] and again["organizationId"] == body["organizationId"]
