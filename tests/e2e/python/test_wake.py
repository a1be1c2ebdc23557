"""Calls to a sandbox that does not run: what the answer says, and that a pause by interval ends with a call."""

import threading
import time

import httpx
import pytest
from daytona import DaytonaConflictError, SandboxState

import wire


def state(raw, sandbox):
    return raw.api("GET", f"/sandbox/{sandbox.id}").json()["state"]


def counter(sandbox):
    """Starts a process that counts, and returns a way to read how far it is: memory, not a file, holds the number."""
    sandbox.fs.upload_file(
        b"import http.server, itertools\n"
        b"numbers = itertools.count(1)\n"
        b"class Handler(http.server.BaseHTTPRequestHandler):\n"
        b"    def do_GET(self):\n"
        b"        self.send_response(200); self.end_headers(); self.wfile.write(str(next(numbers)).encode())\n"
        b"    def log_message(self, *words): pass\n"
        b"http.server.HTTPServer(('127.0.0.1', 8123), Handler).serve_forever()\n",
        "/home/daytona/counter.py",
    )
    sandbox.process.exec("nohup python3 /home/daytona/counter.py > /dev/null 2>&1 &")
    read = "python3 -c \"import urllib.request as r; print(r.urlopen('http://127.0.0.1:8123').read().decode())\""
    for _ in range(300):
        if sandbox.process.exec(read).exit_code == 0:
            return read
        time.sleep(0.1)
    raise AssertionError("the counter does not answer")


def test_a_pause_without_an_interval_refuses_calls_and_says_how_to_go_on(create, raw):
    sandbox = create()
    sandbox.pause()
    assert state(raw, sandbox) == SandboxState.PAUSED
    answer = raw.toolbox(sandbox, "GET", "/work-dir")
    assert answer.status_code == 409
    wire.assert_error_body(answer)
    body = answer.json()
    assert body["code"] == "SANDBOX_NOT_RUNNING"
    assert (body["state"], body["cause"]) == ("paused", "sandbox-paused")
    assert "resume" in body["remedy"] and "paused" in body["evidence"]
    with pytest.raises(DaytonaConflictError, match="paused"):
        sandbox.process.exec("echo off")
    assert state(raw, sandbox) == SandboxState.PAUSED
    sandbox.start()
    assert sandbox.process.exec("echo on").result == "on\n"


def test_one_call_wakes_what_pauses_by_interval(create, raw):
    sandbox = create(auto_pause_interval=60)
    read = counter(sandbox)
    before = int(sandbox.process.exec(read).result)
    sandbox.pause()
    assert state(raw, sandbox) == SandboxState.PAUSED
    # What counts as no use wakes nobody.
    answer = raw.toolbox(sandbox, "GET", "/work-dir", headers={"X-Daytona-Skip-Last-Activity-Update": "true"})
    assert answer.status_code == 409 and answer.json()["state"] == "paused"
    assert state(raw, sandbox) == SandboxState.PAUSED
    # A call that does goes through as if it had run all the time: the same process, the same memory.
    assert int(sandbox.process.exec(read).result) == before + 1
    assert state(raw, sandbox) == SandboxState.STARTED


def test_many_calls_at_once_wake_it_once_and_all_are_answered(create, raw):
    sandbox = create(auto_pause_interval=60)
    sandbox.pause()
    row = raw.api("GET", f"/sandbox/{sandbox.id}").json()
    results = []

    def call(number):
        with httpx.Client(timeout=60, headers={"Authorization": f"Bearer {raw.key}"}) as client:
            url = f"{sandbox.toolbox_proxy_url}/{sandbox.id}/process/execute"
            results.append(client.post(url, json={"command": f"echo {number}"}))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in results] == [200] * 40
    assert sorted(int(answer.json()["result"]) for answer in results) == list(range(40))
    again = raw.api("GET", f"/sandbox/{sandbox.id}").json()
    assert again["state"] == SandboxState.STARTED
    assert again["lastActivityAt"] > row["lastActivityAt"], "the calls are uses of it"


def test_calls_are_answered_however_often_it_is_paused_under_them(create, raw):
    sandbox = create(auto_pause_interval=60)
    answers = []
    # Enough of both to say anything.
    pauses = []

    def call():
        with httpx.Client(timeout=60, headers={"Authorization": f"Bearer {raw.key}"}) as client:
            url = f"{sandbox.toolbox_proxy_url}/{sandbox.id}/process/execute"
            while len(answers) < 160 or len(pauses) < 5 and len(answers) < 5000:
                answers.append(client.post(url, json={"command": "echo ran"}).json().get("result"))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        answer = raw.api("POST", f"/sandbox/{sandbox.id}/pause")
        # It may be on its way back just then.
        assert answer.status_code in (200, 409), answer.text
        if answer.status_code == 200:
            pauses.append(answer)
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    assert set(answers) == {"ran\n"}
    assert len(pauses) >= 5


def test_a_signed_address_wakes_it_too(create, raw):
    sandbox = create(auto_pause_interval=60)
    sandbox.fs.upload_file(b"held", "/home/daytona/held.txt")
    url = sandbox.download_url("/home/daytona/held.txt")
    sandbox.pause()
    assert httpx.get(url, timeout=60).content == b"held"
    sandbox.pause()
    # Nobody without a right wakes it.
    assert httpx.get(url[:-3], timeout=60).status_code == 401
    assert state(raw, sandbox) == SandboxState.PAUSED


def test_a_stopped_one_is_not_started_by_a_call(create, raw):
    sandbox = create(auto_pause_interval=60)
    sandbox.stop()
    answer = raw.toolbox(sandbox, "GET", "/work-dir")
    assert answer.status_code == 409 and answer.json()["state"] == "stopped"
    assert "start" in answer.json()["remedy"]
    assert state(raw, sandbox) == SandboxState.STOPPED


def test_a_call_counts_as_use_unless_it_says_otherwise(create, raw):
    sandbox = create()

    def last_use():
        return raw.api("GET", f"/sandbox/{sandbox.id}").json()["lastActivityAt"]

    before = last_use()
    # Longer than one use stands for those after it.
    time.sleep(6)
    raw.toolbox(sandbox, "GET", "/work-dir", headers={"X-Daytona-Skip-Last-Activity-Update": "true"})
    time.sleep(2)
    assert last_use() == before
    raw.toolbox(sandbox, "GET", "/work-dir")
    for _ in range(300):
        if last_use() > before:
            return
        time.sleep(0.1)
    raise AssertionError("the call was not noted")
