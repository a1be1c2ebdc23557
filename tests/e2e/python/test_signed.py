"""Addresses of files that work without a key, signed by the SDK, and preview tokens: who may do what with them."""

import asyncio
import time
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import httpx
import pytest
from daytona import AsyncDaytona
from daytona._utils.file_url_signing import compute_file_url_signature

import wire

AWKWARD = "/home/daytona/a b+c&path=x#?%2Fé;ü.txt"


@pytest.fixture(scope="module")
def web():
    """A client without any key."""
    with httpx.Client(timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def key(box, raw):
    answer = raw.api("GET", f"/sandbox/{box.id}/signing-key")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("application/json")
    assert isinstance(answer.json(), str) and len(answer.json()) >= 32
    return answer.json()


def address(box, operation, query):
    return f"{box.toolbox_proxy_url}/{box.id}{operation}?{query}"


def signed(box, key, method, operation, path, expires=0):
    signature = compute_file_url_signature(key, method, path, expires)
    return address(box, operation, urlencode({"path": path, "expires": expires, "signature": signature}))


def assert_shut(answer):
    assert answer.status_code == 401, f"{answer.request.method} {answer.url}: {answer.status_code} {answer.text}"
    wire.assert_error_body(answer)
    assert answer.json()["code"] == "UNAUTHORIZED" and answer.json()["source"] == "DAYTONA_PROXY"


@pytest.mark.parametrize("path", ["/home/daytona/plain.txt", "relative.txt", AWKWARD])
def test_a_file_goes_up_and_down_without_a_key(box, web, path):
    content = f"of {path}".encode() * 1000
    up = web.post(box.upload_url(path), files={"file": ("whatever", content)})
    assert up.status_code == 200, up.text
    assert box.fs.download_file(path) == content
    down = web.get(box.download_url(path))
    assert down.status_code == 200 and down.content == content
    part = web.get(box.download_url(path), headers={"Range": "bytes=3-9"})
    assert part.status_code == 206 and part.content == content[3:10]
    assert web.get(box.download_url(path, ttl_seconds=0)).content == content


def test_a_bare_body_and_a_large_one(box, web):
    content = bytes(range(256)) * 40_000
    assert web.post(box.upload_url("large.bin"), content=content).status_code == 200
    assert web.get(box.download_url("large.bin")).content == content


def test_a_missing_file_is_the_daemons_answer(box, web):
    answer = web.get(box.download_url("/nowhere"))
    assert answer.status_code == 404 and answer.json()["code"] == "FILE_NOT_FOUND"
    # What the sandbox is told holds neither the signature nor its end.
    assert "signature" not in answer.text and "expires" not in answer.text


def test_only_the_call_that_was_signed(box, web, key):
    box.fs.upload_file(b"seen", "/home/daytona/seen.txt")
    box.fs.upload_file(b"secret", "/home/daytona/secret.txt")
    good = signed(box, key, "GET", "/files/download", "/home/daytona/seen.txt")
    assert web.get(good).content == b"seen"
    assert_shut(web.post(good))
    assert web.head(good).status_code == 401
    assert_shut(web.delete(good))
    assert_shut(web.get(good.replace("seen.txt", "secret.txt")))
    assert_shut(web.get(good.replace("expires=0", "expires=9999999999")))
    assert_shut(web.get(good.replace("/files/download", "/files/info")))
    assert_shut(web.get(good.replace("/files/download", "/files")))
    assert_shut(web.get(good.replace("signature=v1_", "signature=v2_")))
    assert_shut(web.get(good[:-2]))
    assert_shut(web.post(signed(box, key, "GET", "/files/upload-v2", "/home/daytona/seen.txt"), content=b"x"))
    assert_shut(web.post(signed(box, key, "POST", "/files/bulk-upload", "/home/daytona/seen.txt"), content=b"x"))
    assert_shut(web.post(signed(box, key, "POST", "/process/execute", "/home/daytona/seen.txt"), json={"command": "id"}))
    assert box.fs.download_file("/home/daytona/seen.txt") == b"seen"


def test_no_second_parameter_smuggles_a_path(box, web, key):
    box.fs.upload_file(b"seen", "/home/daytona/seen.txt")
    box.fs.upload_file(b"secret", "/home/daytona/secret.txt")
    other = "/home/daytona/secret.txt"
    query = urlsplit(signed(box, key, "GET", "/files/download", "/home/daytona/seen.txt")).query
    rest = urlencode([pair for pair in parse_qsl(query) if pair[0] != "path"])
    seen = quote("/home/daytona/seen.txt", safe="")
    tried = 0
    for name in ("path", "p%61th", "%70%61%74%68", "path%00", "PATH", "path[]", "path;", "%20path", "+path"):
        for smuggled in (
            f"{name}={other}&{query}",
            f"{query}&{name}={other}",
            f"{name}={other}&{rest}",
            f"path={seen}&{name}={other}&{rest}",
            f"path={seen};{name}={other}&{rest}",
            f"path={seen}%26{name}={other}&{rest}",
            f"path={seen}#&{name}={other}&{rest}",
        ):
            answer = web.get(address(box, "/files/download", smuggled))
            assert answer.status_code in (200, 401), f"{smuggled}: {answer.status_code} {answer.text}"
            assert answer.status_code == 401 or answer.content == b"seen", f"{smuggled}: {answer.content}"
            tried += 1
    assert tried == 63


def test_an_address_ends_when_it_says(box, web, key):
    box.fs.upload_file(b"seen", "/home/daytona/seen.txt")
    now = int(time.time())
    over = signed(box, key, "GET", "/files/download", "/home/daytona/seen.txt", now - 60)
    answer = web.get(over)
    assert_shut(answer)
    assert "expired" in answer.json()["message"]
    later = signed(box, key, "GET", "/files/download", "/home/daytona/seen.txt", now + 600)
    assert web.get(later).status_code == 200
    # A key of an account helps where the address does not.
    with httpx.Client(headers={"Authorization": "Bearer nonsense"}) as client:
        assert client.get(later).status_code == 200
        assert_shut(client.get(over))


def test_it_is_for_one_sandbox(box, create, web, key):
    box.fs.upload_file(b"seen", "/home/daytona/seen.txt")
    other = create()
    assert_shut(web.get(signed(other, key, "GET", "/files/download", "/home/daytona/seen.txt")))
    good = signed(box, key, "GET", "/files/download", "/home/daytona/seen.txt")
    assert_shut(web.get(good.replace(box.id, "00000000-0000-4000-8000-000000000000")))


def test_a_restart_keeps_addresses_and_a_rotation_ends_them(create, web):
    sandbox = create()
    sandbox.fs.upload_file(b"kept", "/home/daytona/kept.txt")
    before = sandbox.download_url("/home/daytona/kept.txt", ttl_seconds=0)
    assert web.get(before).content == b"kept"
    sandbox.stop()
    stopped = web.get(before)
    assert stopped.status_code == 409 and stopped.json()["state"] == "stopped", stopped.text
    wire.assert_error_body(stopped)
    assert stopped.json()["remedy"]
    sandbox.start()
    assert web.get(before).content == b"kept"
    sandbox.rotate_signing_key()
    assert_shut(web.get(before))
    assert web.get(sandbox.download_url("/home/daytona/kept.txt")).content == b"kept"


def test_the_asynchronous_sdk(create):
    made = create()

    async def use():
        async with AsyncDaytona() as daytona, httpx.AsyncClient(timeout=60) as web:
            sandbox = await daytona.get(made.id)
            up = await web.post(await sandbox.upload_url("async.txt"), files={"file": ("x", b"content")})
            assert up.status_code == 200, up.text
            down = await sandbox.download_url("async.txt")
            assert (await web.get(down)).content == b"content"
            await sandbox.rotate_signing_key()
            assert_shut(await web.get(down))
            assert (await web.get(await sandbox.download_url("async.txt"))).content == b"content"

    asyncio.run(use())


def test_pages_of_any_origin(box, web):
    box.fs.upload_file(b"seen", "/home/daytona/seen.txt")
    page = {"Origin": "https://page.example"}
    answer = web.get(box.download_url("/home/daytona/seen.txt"), headers=page)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://page.example"
    # Opened by itself it is a page of nobody.
    assert answer.headers["content-security-policy"] == "sandbox"
    asked = {**page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    answer = web.options(box.upload_url("/home/daytona/up.txt"), headers=asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-headers"] == "content-type"


def test_the_preview_token_opens_the_toolbox(create, web):
    sandbox = create()
    url = f"{sandbox.toolbox_proxy_url}/{sandbox.id}/process/execute"
    command = {"command": "env; cat /proc/self/cmdline"}
    token = sandbox.get_preview_link(3000).token
    for options in (
        {"headers": {"X-Daytona-Preview-Token": token}},
        {"params": {"DAYTONA_SANDBOX_AUTH_KEY": token}},
        {"headers": {"X-Daytona-Preview-Token": token, "Authorization": "Bearer nonsense"}},
    ):
        answer = web.post(url, json=command, **options)
        assert answer.status_code == 200, answer.text
        assert token not in answer.text
    missing = web.post(url, json=command)
    assert_shut(missing)
    assert missing.json()["message"].startswith("unauthorized: missing authentication: provide a preview access token")
    wrong = web.post(url, json=command, headers={"X-Daytona-Preview-Token": token[::-1]})
    assert_shut(wrong)
    assert wrong.json()["message"].startswith("unauthorized: authentication failed: ")
    # A start brings a new one, and the old one is nothing at once.
    sandbox.stop()
    sandbox.start()
    assert_shut(web.post(url, json=command, headers={"X-Daytona-Preview-Token": token}))
    assert_shut(web.post(url, json=command, params={"DAYTONA_SANDBOX_AUTH_KEY": token}))
    newer = sandbox.get_preview_link(3000).token
    assert newer != token
    assert web.post(url, json=command, headers={"X-Daytona-Preview-Token": newer}).status_code == 200


def test_a_public_sandbox_still_needs_a_key_for_its_toolbox(create, web):
    sandbox = create(public=True)
    assert_shut(web.get(f"{sandbox.toolbox_proxy_url}/{sandbox.id}/work-dir"))
