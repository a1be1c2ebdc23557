"""Plain HTTP to a server: what the SDK would never send, and the shape that every refusal must have."""

import httpx

TIMEOUT = httpx.Timeout(120.0)


class Api:
    """A server's control plane and its sandboxes' toolboxes, asked without an SDK."""

    def __init__(self, url, key):
        self.url = url.rstrip("/")
        self.key = key
        self.client = httpx.Client(timeout=TIMEOUT, headers={"Authorization": f"Bearer {key}"})

    def api(self, method, path, **options):
        return self.client.request(method, self.url + path, **options)

    def toolbox(self, sandbox, method, path, **options):
        return self.client.request(method, f"{sandbox.toolbox_proxy_url}/{sandbox.id}{path}", **options)


def assert_refused(answer, *statuses):
    """A refusal is a 4xx with the contract's body: what a typed error of any SDK version is made of."""
    assert 400 <= answer.status_code < 500, f"{answer.request.method} {answer.url}: {answer.status_code} {answer.text}"
    if statuses:
        assert answer.status_code in statuses, f"{answer.status_code} is none of {statuses}: {answer.text}"
    assert_error_body(answer)


def assert_error_body(answer):
    assert answer.headers["content-type"].startswith("application/json"), answer.headers
    body = answer.json()
    assert body["statusCode"] == answer.status_code
    for field in ("error", "message", "code", "source", "path", "method", "timestamp"):
        assert isinstance(body[field], str) and body[field], f"`{field}` is missing: {body}"
    assert body["source"] in ("DAYTONA_API", "DAYTONA_PROXY", "DAYTONA_DAEMON")
    # An error is for the caller: nothing of the host's own paths or of the code belongs in it.
    for secret in ("/work/", "/target/", ".rs:", "panicked", "SELECT ", "sqlx"):
        assert secret not in answer.text, answer.text
