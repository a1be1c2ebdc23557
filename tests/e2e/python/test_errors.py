"""Every refusal has one shape, a status, a word for programs and a sentence for people; nothing ends the daemon."""

import datetime

import pytest

FIELDS = {"statusCode", "message", "code", "source", "path", "timestamp", "method"}


def refused(answer, status, code):
    body = answer.json()
    assert (answer.status_code, body["statusCode"], body.get("code")) == (status, status, code), body
    assert FIELDS <= body.keys() and body["source"] == "DAYTONA_DAEMON", body
    assert isinstance(body["message"], str) and body["message"]
    datetime.datetime.fromisoformat(body["timestamp"].replace("Z", "+00:00"))
    return body


CASES = [
    ("GET", "/files/info", {"path": "/no/such"}, None, 404, "FILE_NOT_FOUND"),
    ("GET", "/files/info", {}, None, 400, "BAD_REQUEST"),
    ("GET", "/files/info", {"path": "a\0b"}, None, 400, "INVALID_FILE_PATH"),
    ("GET", "/files/info", {"path": "x" * 5000}, None, 400, "INVALID_FILE_PATH"),
    ("GET", "/files", {"path": "/root"}, None, 403, "FILE_ACCESS_DENIED"),
    ("GET", "/files", {"path": "/", "depth": "-1"}, None, 400, "BAD_REQUEST"),
    ("GET", "/files/search", {"path": "/etc", "pattern": "["}, None, 400, "BAD_REQUEST"),
    ("DELETE", "/files", {"path": "/home/daytona"}, None, 400, "INVALID_FILE_PATH"),
    ("POST", "/files/move", {"source": "/etc/hosts", "destination": "/etc/passwd"}, None, 409, "CONFLICT"),
    ("POST", "/files/permissions", {"path": "/tmp", "owner": "nobody-here"}, None, 400, "BAD_REQUEST"),
    ("POST", "/files/replace", {}, b"{", 400, "INVALID_REQUEST_BODY"),
    ("POST", "/files/bulk-upload", {}, b"no form", 400, "BAD_REQUEST"),
    ("POST", "/process/execute", {}, b"[1]", 400, "INVALID_REQUEST_BODY"),
    ("POST", "/process/execute", {}, b'{"command": "sleep 60", "timeout": 1}', 408, "PROCESS_EXECUTION_TIMEOUT"),
    ("POST", "/process/execute", {}, b'{"command": ' + b"1" * 400 + b"}", 400, "INVALID_REQUEST_BODY"),
    ("POST", "/process/execute", {}, b'{"command": "\\ud800"}', 400, "INVALID_REQUEST_BODY"),
    ("GET", "/no/such/operation", {}, None, 404, "NOT_FOUND"),
    ("PUT", "/files/info", {}, None, 405, "METHOD_NOT_ALLOWED"),
]


@pytest.mark.parametrize(("method", "path", "params", "body", "status", "code"), CASES, ids=range(len(CASES)))
def test_a_refusal_has_its_shape(box, raw, method, path, params, body, status, code):
    told = refused(raw.toolbox(box, method, path, params=params, content=body), status, code)
    assert told["method"] == method
    assert path in told["path"]


HOSTILE = [b"\xff\xfe", b"{" * 10_000, b"[" * 10_000, b"\0" * 100]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize(
    "path", ["/process/execute", "/process/code-run", "/process/session", "/process/pty", "/git/clone", "/lsp/start", "/env"]
)
def test_nonsense_is_refused_and_the_daemon_goes_on(box, raw, path, body):
    answer = raw.toolbox(box, "POST", path, content=body, headers={"Content-Type": "application/json"})
    refused(answer, 400, "INVALID_REQUEST_BODY")
    assert box.process.exec("echo on").result == "on\n"
