"""Hostile input through the real server: a clear 4xx in the contract's shape, never a 500, nothing left behind."""

import json
import socket
from urllib.parse import urlsplit

import httpx
import pytest

import wire
from conftest import RUN_LABEL
from wire import assert_refused


@pytest.fixture(autouse=True)
def nothing_is_made(raw, box):
    """No case makes a sandbox or leaves the shared one unable to work."""
    before = count(raw)
    yield
    assert count(raw) == before
    assert box.process.exec("echo alive").result == "alive\n"


def count(raw):
    answer = raw.api("GET", "/sandbox", params={"limit": 200})
    assert answer.status_code == 200, answer.text
    # Those that other cases make meanwhile are marked.
    return {item["id"] for item in answer.json()["items"] if RUN_LABEL not in item["labels"]}


DEEP = "[" * 100_000 + "]" * 100_000

BODIES = {
    "not json": b"{name:",
    "truncated": b'{"name": "x',
    "an array": b"[]",
    "a number": b"5",
    "a string": b'"x"',
    "null in name": b'{"name": 5}',
    "not utf-8": b'{"name": "\xff\xfe"}',
    "a lone surrogate": b'{"name": "\\ud800"}',
    "deep": DEEP.encode(),
    "deep labels": b'{"labels": ' + DEEP.encode() + b"}",
    "labels of numbers": b'{"labels": {"a": 1}}',
    "labels as a list": b'{"labels": ["a"]}',
    "env of objects": b'{"env": {"a": {}}}',
    "env with =": b'{"env": {"A=B": "c"}}',
    "env with nul": b'{"env": {"A": "b\\u0000"}}',
    "empty env name": b'{"env": {"": "b"}}',
    "too many labels": json.dumps({"labels": {str(n): "x" for n in range(10_000)}}).encode(),
    "huge label": json.dumps({"labels": {"a": "x" * 1_000_000}}).encode(),
    "cpu as text": b'{"cpu": "many"}',
    "half a cpu": b'{"cpu": 0.5}',
    "cpu below zero": b'{"cpu": -1}',
    "memory too large": b'{"memory": 99999999999999999999}',
    "disk not a number": b'{"disk": NaN}',
    "interval below zero": b'{"autoStopInterval": -1}',
    "interval too large": b'{"autoStopInterval": 1e300}',
    "user with a path": b'{"user": "../../root"}',
    "user with a newline": b'{"user": "root\\nroot"}',
    "unknown user": b'{"user": "nobody-has-this-name"}',
    "public as text": b'{"public": "maybe"}',
    "snapshot with a path": b'{"snapshot": "../../../etc"}',
    "snapshot with nul": b'{"snapshot": "a\\u0000b"}',
    "snapshot too long": json.dumps({"snapshot": "x" * 300}).encode(),
    "snapshot of percent signs": json.dumps({"snapshot": "%" * 100}).encode(),
    "name with nul": b'{"name": "a\\u0000b"}',
    "name with markup": b'{"name": "<script>"}',
    "name too long": json.dumps({"name": "x" * 100_000}).encode(),
    "ten megabytes": b'{"name": "' + b"x" * 10_000_000 + b'"}',
}


@pytest.mark.parametrize("name", BODIES)
def test_bad_bodies_of_create(raw, name):
    assert_refused(raw.api("POST", "/sandbox", content=BODIES[name]))


REFERENCES = [
    "%00",
    "a%00b",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "'%20OR%201=1--",
    "%22%3B%20DROP%20TABLE%20sandbox",
    "%ff%fe",
    "%25s%25n",
    "x" * 5_000,
    "%F0%9F%98%80",
    "{id}",
    "*",
    "null",
    "-1",
]


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("method,rest", [("GET", ""), ("DELETE", ""), ("POST", "/start"), ("PUT", "/labels")])
def test_bad_references(raw, method, rest, reference):
    body = {"json": {"labels": {}}} if method == "PUT" else {}
    assert_refused(raw.api(method, f"/sandbox/{reference}{rest}", **body))


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=-1", "limit=x", "limit=201", "limit=1e9", "cursor=%00", "cursor=" + "A" * 4_000, "labels=[]",
     "labels=%7B", "labels=%ff", "states=dead", "minCpu=0", "createdAtAfter=yesterday", "sort=password", "order=up",
     "isPublic=perhaps", "name=" + "x" * 256, "id=" + "x" * 50_001],
)
def test_bad_queries(raw, query):
    assert_refused(raw.api("GET", f"/sandbox?{query}"), 400)


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Basic dXNlcjpwYXNz", "Bearer dtn_x", "bearer\tx", "Bearer " + "k" * 8_000,
               "Bearer a.b.c", "Bearer ' OR 1=1"]
)
def test_bad_keys(raw, box, header):
    headers = {} if header is None else {"Authorization": header}
    for url in (f"{raw.url}/sandbox", f"{box.toolbox_proxy_url}/{box.id}/version"):
        assert_refused(httpx.get(url, headers=headers), 401)


def test_keys_are_not_told_apart_by_what_they_answer(raw):
    unknown = httpx.get(f"{raw.url}/sandbox/x", headers={"Authorization": "Bearer " + "dtn_" + "0" * 64})
    missing = httpx.get(f"{raw.url}/sandbox/x")
    assert unknown.json()["message"] == missing.json()["message"]


@pytest.mark.parametrize("method", ["PATCH", "PUT", "TRACE", "BREW"])
def test_bad_methods(raw, box, method):
    assert_refused(raw.api(method, "/sandbox"), 404, 405)
    assert_refused(raw.toolbox(box, method, "/version"), 404, 405)


@pytest.mark.parametrize("path", ["/nothing", "/sandbox/x/nothing", "//sandbox", "/sandbox/../sandbox/x/y/z", "/%00"])
def test_unknown_paths(raw, path):
    assert_refused(raw.api("GET", path))


PATHS = {
    "nul": "/tmp/a\0b",
    "empty": "",
    "long name": "/tmp/" + "x" * 256,
    "long path": "/tmp/" + "x/" * 4_000,
    "through a file": "/etc/passwd/x",
    "a loop of links": "/tmp/loop/x",
}


@pytest.mark.parametrize("name", PATHS)
def test_bad_paths(raw, box, name):
    box.process.exec("ln -sfn loop /tmp/loop")
    path = PATHS[name]
    for method, call, options in (
        ("GET", "/files/download", {}),
        ("GET", "/files/info", {}),
        ("DELETE", "/files", {}),
        ("POST", "/files/folder", {"params": {"mode": "755"}}),
        ("POST", "/files/permissions", {"params": {"mode": "644"}}),
        ("GET", "/files/find", {"params": {"pattern": "x"}}),
        ("POST", "/files/upload-v2", {"content": b"x"}),
        ("POST", "/files/upload-v2", {"files": {"file": b"x"}}),
    ):
        params = {**options.pop("params", {}), "path": path}
        assert_refused(raw.toolbox(box, method, call, params=params, **options))
    if path:
        assert_refused(raw.toolbox(box, "GET", "/files", params={"path": path}))
    for pair in ({"source": path, "destination": "/tmp/d"}, {"source": "/etc/passwd", "destination": path}):
        assert_refused(raw.toolbox(box, "POST", "/files/move", params=pair))
    if path:
        answer = raw.toolbox(box, "POST", "/process/execute", json={"command": "true", "cwd": path})
        assert answer.status_code == 400 or answer.json()["exitCode"] != 0


@pytest.mark.parametrize(
    "path", ["../../../../../../etc/hostname", "/tmp/out/etc/hostname", "/proc/1/root/etc/hostname", "/proc/self/cwd"]
)
def test_no_path_leads_out(raw, box, path):
    """Dots, links and the roots of processes all end at the sandbox's own root."""
    box.process.exec("ln -sfn /../../../../.. /tmp/out; sudo -n sh -c 'echo of the sandbox > /etc/e2e-marker'")
    inside = box.process.exec("cat /etc/hostname 2>/dev/null").result
    answer = raw.toolbox(box, "GET", "/files/download", params={"path": path})
    if answer.status_code == 200:
        assert answer.text == inside
    else:
        assert_refused(answer)
    escape = path.replace("etc/hostname", "etc/e2e-marker")
    if escape != path and not path.startswith("/proc"):
        marker = raw.toolbox(box, "GET", "/files/download", params={"path": escape})
        assert marker.text == "of the sandbox\n"


@pytest.mark.parametrize("sandbox_id", ["", "%2e%2e", "a%2Fb", "x" * 200, "00000000-0000-4000-8000-000000000000"])
def test_toolbox_of_no_sandbox(raw, box, sandbox_id):
    assert_refused(raw.client.get(f"{box.toolbox_proxy_url}/{sandbox_id}/version"))


def test_toolbox_path_does_not_reach_a_neighbour(raw, box):
    for path in ("/../api/sandbox", "/%2e%2e/version", "//version", "/..%2fversion", "/version/../../x"):
        url = urlsplit(box.toolbox_proxy_url)
        answer = raw_request(
            url.hostname, url.port, f"GET {url.path}/{box.id}{path} HTTP/1.1", [f"Authorization: Bearer {raw.key}"]
        )
        assert b" 500 " not in answer.split(b"\r\n")[0] and b'"items"' not in answer


EXECUTIONS = {
    "no command": {},
    "empty": {"command": ""},
    "a number": {"command": 5},
    "a list": {"command": ["ls"]},
    "nul": {"command": "echo a\0b"},
    "variable with =": {"command": "true", "envs": {"A=B": "x"}},
    "variable with nul": {"command": "true", "envs": {"A": "x\0"}},
    "variables as a list": {"command": "true", "envs": ["A=1"]},
    "timeout as text": {"command": "true", "timeout": "soon"},
    "timeout too large": {"command": "true", "timeout": 10**30},
    "cwd as a number": {"command": "true", "cwd": 5},
    "cwd with nul": {"command": "true", "cwd": "/tmp\0/x"},
}


@pytest.mark.parametrize("name", EXECUTIONS)
def test_bad_executions(raw, box, name):
    assert_refused(raw.toolbox(box, "POST", "/process/execute", json=EXECUTIONS[name]), 400)


@pytest.mark.parametrize(
    "call", ["/process/execute", "/process/code-run", "/files/replace", "/files/bulk-download", "/env", "/init"]
)
@pytest.mark.parametrize("body", [b"{", b"[]", b"5", b"null", b"\xff", DEEP.encode(), b'"x"'], ids=range(7))
def test_bad_bodies_of_the_toolbox(raw, box, call, body):
    assert_refused(raw.toolbox(box, "POST", call, content=body), 400, 413)


@pytest.mark.parametrize(
    "fields",
    [
        {"code": "print(1)", "language": "python", "argv": ["a\0"]},
        {"code": "print(1)", "language": "python", "argv": "a"},
        {"code": "print(1)", "language": "python", "argv": [1]},
        {"code": "print(1)", "language": "python", "envs": {"": "x"}},
        {"code": 5, "language": "python"},
        {"language": "python"},
    ],
    ids=range(6),
)
def test_bad_code_runs(raw, box, fields):
    assert_refused(raw.toolbox(box, "POST", "/process/code-run", json=fields), 400)


FORMS = {
    "no boundary": ("multipart/form-data", b"x"),
    "a boundary that never comes": ("multipart/form-data; boundary=B", b"nothing here"),
    "cut off": (
        "multipart/form-data; boundary=B",
        b'--B\r\nContent-Disposition: form-data; name="files[0].path"\r\n\r\n/tmp/cut\r\n--B\r\n'
        b'Content-Disposition: form-data; name="files[0].file"; filename="x"\r\n\r\nhalf of it',
    ),
    "a file without a path": (
        "multipart/form-data; boundary=B",
        b'--B\r\nContent-Disposition: form-data; name="files[0].file"; filename="x"\r\n\r\nx\r\n--B--\r\n',
    ),
    "a path with nul": (
        "multipart/form-data; boundary=B",
        b'--B\r\nContent-Disposition: form-data; name="files[0].path"\r\n\r\n/tmp/cut\0x\r\n--B\r\n'
        b'Content-Disposition: form-data; name="files[0].file"; filename="x"\r\n\r\nx\r\n--B--\r\n',
    ),
    "a path of a megabyte": (
        "multipart/form-data; boundary=B",
        b'--B\r\nContent-Disposition: form-data; name="files[0].path"\r\n\r\n/tmp/cut' + b"x" * 2**20 + b"\r\n--B\r\n"
        b'Content-Disposition: form-data; name="files[0].file"; filename="x"\r\n\r\nx\r\n--B--\r\n',
    ),
    "not a form": ("application/json", b"{}"),
}


@pytest.mark.parametrize("name", FORMS)
def test_bad_forms(raw, box, name):
    kind, body = FORMS[name]
    answer = raw.toolbox(box, "POST", "/files/bulk-upload", content=body, headers={"Content-Type": kind})
    assert answer.status_code in (400, 413), answer.text
    # The SDKs join this list into their message.
    assert "errors" in answer.json() or "message" in answer.json()
    assert "cut" not in box.process.exec("ls -A /tmp").result


def test_bad_bulk_downloads(raw, box):
    for paths in ([], "x", [5], None):
        assert_refused(raw.toolbox(box, "POST", "/files/bulk-download", json={"paths": paths}), 400)
    many = raw.toolbox(box, "POST", "/files/bulk-download", json={"paths": ["/tmp/a\0b", "/dev/zero", "/proc/kmsg"]})
    assert many.status_code == 200 and many.text.count('name="error"') == 3


def raw_request(host, port, line, headers, body=b""):
    with socket.create_connection((host, port), timeout=20) as connection:
        head = "\r\n".join([line, f"Host: {host}", "Connection: close", *headers, "", ""])
        connection.sendall(head.encode("latin-1") + body)
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
            if len(answer) > 2**20:
                break
        return answer


WIRES = {
    "no version": ("GET /api/health", []),
    "a bad version": ("GET /api/health HTTP/9.9", []),
    "no method": ("/api/health", []),
    "spaces in the path": ("GET /api/he alth HTTP/1.1", []),
    "a control character": ("GET /api/\x01health HTTP/1.1", []),
    "a header without a colon": ("GET /api/sandbox HTTP/1.1", ["nonsense"]),
    "a header with a control character": ("GET /api/sandbox HTTP/1.1", ["X: a\x00b"]),
    "two lengths": ("POST /api/sandbox HTTP/1.1", ["Content-Length: 2", "Content-Length: 3"]),
    "a length below zero": ("POST /api/sandbox HTTP/1.1", ["Content-Length: -1"]),
    "a huge length": ("POST /api/sandbox HTTP/1.1", ["Content-Length: 99999999999999999999999"]),
    "a length and chunks": ("POST /api/sandbox HTTP/1.1", ["Content-Length: 4", "Transfer-Encoding: chunked"]),
    "unknown coding": ("POST /api/sandbox HTTP/1.1", ["Transfer-Encoding: gzip, nonsense"]),
    "a bad chunk": ("POST /api/sandbox HTTP/1.1", ["Transfer-Encoding: chunked"]),
    "a long line": ("GET /api/sandbox?" + "x" * 200_000 + " HTTP/1.1", []),
    "a long header": ("GET /api/sandbox HTTP/1.1", ["X: " + "x" * 600_000]),
    "many headers": ("GET /api/sandbox HTTP/1.1", [f"X-{n}: y" for n in range(5_000)]),
    "another host": ("GET http://elsewhere.invalid/api/sandbox HTTP/1.1", []),
    "a tunnel": ("CONNECT 127.0.0.1:22 HTTP/1.1", []),
}


@pytest.mark.parametrize("name", WIRES)
def test_bad_wires(raw, name):
    """Below the contract: what is no HTTP request is refused, and the server lives on."""
    url = urlsplit(raw.url)
    line, headers = WIRES[name]
    body = b"zz\r\nhello\r\n0\r\n\r\n" if "chunk" in name else b""
    try:
        answer = raw_request(url.hostname, url.port, line, headers, body)
    except (ConnectionError, TimeoutError) as error:
        answer = b""
        assert isinstance(error, ConnectionError), "neither an answer nor an end"
    if answer:
        status = answer.split(b"\r\n")[0]
        assert status.startswith(b"HTTP/1.1 4"), status
    assert httpx.get(f"{raw.url}/health").status_code == 200


def test_a_body_that_lies_about_its_length(raw):
    url = urlsplit(raw.url)
    headers = [f"Authorization: Bearer {raw.key}", "Content-Length: 100"]
    with socket.create_connection((url.hostname, url.port), timeout=20) as connection:
        connection.sendall("\r\n".join(["POST /api/sandbox HTTP/1.1", "Host: x", *headers, "", "{}"]).encode())
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65_536)
    assert not answer or answer.startswith(b"HTTP/1.1 4")


def test_forged_headers_change_nothing(raw, box):
    """What a proxy in front would say of the client is not believed when a client says it."""
    headers = {
        "X-Daytona-Organization-ID": "00000000-0000-4000-8000-000000000000",
        "X-Forwarded-Host": "elsewhere.invalid",
        "X-Forwarded-Proto": "gopher",
        "X-Original-URL": "/api/api-keys",
        "X-HTTP-Method-Override": "DELETE",
    }
    answer = raw.api("GET", f"/sandbox/{box.id}", headers=headers)
    assert answer.status_code == 200 and answer.json()["id"] == box.id
    assert answer.json()["toolboxProxyUrl"] == box.toolbox_proxy_url


def test_loose_content_types_are_accepted(raw, box):
    """The SDKs send JSON without a type, with a wrong one, and a type without a body."""
    for kind in (None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8"):
        headers = {} if kind is None else {"Content-Type": kind}
        answer = raw.toolbox(box, "POST", "/process/execute", content=b'{"command": "echo ok"}', headers=headers)
        assert answer.status_code == 200 and answer.json()["result"] == "ok\n"
    for headers in ({"Content-Type": "application/json"}, {}):
        answer = raw.api("POST", f"/sandbox/{box.id}/last-activity", headers=headers)
        assert answer.status_code == 201, answer.text


def test_every_answer_tells_the_version(raw):
    for path, method in (("/health", "GET"), ("/sandbox", "GET"), ("/nothing", "GET"), ("/sandbox/x", "DELETE")):
        assert raw.api(method, path).headers["x-daytona-api-version"]


def test_the_shape_of_an_error(raw):
    answer = raw.api("GET", "/sandbox/missing%20one?verbose=true")
    wire.assert_refused(answer, 404)
    body = answer.json()
    assert body["error"] == "Not Found" and body["source"] == "DAYTONA_API" and body["method"] == "GET"
    assert body["path"] == "/api/sandbox/missing%20one?verbose=true"
