"""Who logs in instead of showing a key: the official SDK with a token and an organisation."""

import asyncio
import json
import os
import time
import urllib.parse
import uuid

import daytona_api_client
import httpx
import pytest
import websocket
from daytona import (
    AsyncDaytona,
    CreateSandboxFromSnapshotParams,
    Daytona,
    DaytonaConfig,
    DaytonaError,
    DaytonaNotFoundError,
)

from between import Between
from conftest import RUN_LABEL
from provider import Provider
from test_events import PATIENCE_S, STUBBORN, assert_ended_by_event, is_welcome, soon
from wire import assert_refused

URL = os.environ.get("DAYTONA_API_URL", "").rstrip("/")


def ask(method, path, token, organization=None, **options):
    headers = {"Authorization": f"Bearer {token}"}
    if organization is not None:
        headers["X-Daytona-Organization-ID"] = organization
    return httpx.request(method, URL + path, headers=headers, timeout=PATIENCE_S, **options)


@pytest.fixture(scope="module")
def provider():
    told = httpx.get(f"{URL}/config").json()["oidc"]
    if not told["issuer"].startswith("http://127."):
        issuer = told["issuer"] or "no login provider"
        pytest.skip(f"this server takes tokens of {issuer}; `cargo x e2e` starts one that takes those of the cases")
    with Provider(told["issuer"], told["audience"]) as provider:
        # A server that asked there a moment ago, when nobody or another listened, asks again after a while.
        soon(lambda: ask("GET", "/users/me", provider.token("first")).status_code == 200, "a token is taken")
        yield provider


class Person:
    """Somebody who logs in, with an organisation of their own."""

    def __init__(self, provider, algorithm="RS256"):
        self.provider = provider
        self.name = f"e2e|{uuid.uuid4().hex[:12]}"
        self.token = provider.token(self.name, algorithm, email="ada@example.com", name="Ada", email_verified=True)
        listed = ask("GET", "/organizations", self.token)
        assert listed.status_code == 200, listed.text
        assert [(one["personal"], one["createdBy"]) for one in listed.json()] == [(True, self.name)]
        self.organization = listed.json()[0]["id"]

    def config(self, url=URL):
        return DaytonaConfig(jwt_token=self.token, organization_id=self.organization, api_url=url)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_the_sync_sdk_works_with_a_token(provider, algorithm, raw, run_id):
    person = Person(provider, algorithm)
    with Between(URL) as between:
        client = Daytona(person.config(between.url))
        soon(is_welcome(between), "the SDK connects")
        sandbox = client.create(CreateSandboxFromSnapshotParams(), timeout=PATIENCE_S)
        try:
            assert sandbox.organization_id == person.organization
            assert sandbox.process.exec("echo $((6 * 7))").result.strip() == "42"
            sandbox.fs.upload_file(b"hers", "/tmp/file")
            assert sandbox.fs.download_file("/tmp/file") == b"hers"
            # It is there for her alone.
            assert raw.api("GET", f"/sandbox/{sandbox.id}").status_code == 404
            assert raw.toolbox(sandbox, "POST", "/process/execute", json={"command": "id"}).status_code == 404
            sandbox.process.exec(STUBBORN)
            between.freeze()
            sandbox.stop(timeout=PATIENCE_S)
            assert_ended_by_event(between, sandbox.id)
        finally:
            between.frozen = None
            sandbox.delete(timeout=PATIENCE_S, wait=True)
        with pytest.raises(DaytonaNotFoundError):
            client.get(sandbox.id)


def test_the_async_sdk_works_with_a_token(provider, run_id):
    person = Person(provider)

    async def case(between):
        async with AsyncDaytona(person.config(between.url)) as client:
            sandbox = await client.create(CreateSandboxFromSnapshotParams(), timeout=PATIENCE_S)
            try:
                answer = await sandbox.process.exec("echo $((6 * 7))")
                assert answer.result.strip() == "42"
                await sandbox.process.exec(STUBBORN)
                await asyncio.to_thread(soon, is_welcome(between), "the SDK connects")
                between.freeze()
                await sandbox.stop(timeout=PATIENCE_S)
                assert_ended_by_event(between, sandbox.id)
            finally:
                between.frozen = None
                await sandbox.delete(timeout=PATIENCE_S, wait=True)

    with Between(URL) as between:
        asyncio.run(case(between))


def test_who_one_is_is_told_in_the_clients_own_shape(provider):
    person = Person(provider)
    configuration = daytona_api_client.Configuration(host=URL, access_token=person.token)
    with daytona_api_client.ApiClient(configuration) as client:
        me = daytona_api_client.UsersApi(client).get_authenticated_user()
    assert (me.id, me.name, me.email, me.email_verified) == (person.name, "Ada", "ada@example.com", True)


def test_the_official_client_reads_organisations(provider):
    """Its models take no null where others do."""
    person = Person(provider)
    configuration = daytona_api_client.Configuration(host=URL, access_token=person.token)
    with daytona_api_client.ApiClient(configuration) as client:
        (home,) = daytona_api_client.OrganizationsApi(client).list_organizations()
    assert (home.id, home.created_by, home.personal) == (person.organization, person.name, True)
    assert (home.suspended, home.suspension_reason) == (False, "") and home.suspended_until < home.created_at


def test_the_organisation_must_be_ones_own(provider, raw, run_id):
    ada, eve = Person(provider), Person(provider)
    theirs = raw.api("POST", "/sandbox", json={"labels": {RUN_LABEL: run_id}}).json()
    try:
        for organization in (None, "", "Personal", eve.organization, theirs["organizationId"]):
            answer = ask("GET", "/sandbox", ada.token, organization)
            assert_refused(answer, 403)
            assert answer.json()["message"] == "Invalid authentication context"
        answer = ask("GET", f"/sandbox/{theirs['id']}", ada.token, ada.organization)
        assert_refused(answer, 404)
        stranger = DaytonaConfig(jwt_token=ada.token, organization_id=eve.organization, api_url=URL)
        with pytest.raises(DaytonaError, match="Invalid authentication context"):
            Daytona(stranger).create(CreateSandboxFromSnapshotParams(), timeout=PATIENCE_S)
    finally:
        raw.api("DELETE", f"/sandbox/{theirs['id']}")


def test_bad_tokens_are_refused_with_the_same_words(provider):
    person = Person(provider)
    now = int(time.time())
    head, payload, signature = person.token.split(".")
    other = provider.token("somebody-else").split(".")[1]
    for token in (
        provider.token(person.name, exp=now - 3600),
        provider.token(person.name, nbf=now + 3600),
        provider.token(person.name, aud="another"),
        provider.token(person.name, iss="https://login.example.com"),
        provider.token("daytona-admin"),
        f"{head}.{other}.{signature}",
        f"{head}.{payload}.",
        "eyJhbGciOiJub25lIn0." + payload + ".",
    ):
        answer = ask("GET", "/sandbox", token, person.organization)
        assert_refused(answer, 401)
        assert answer.json()["message"] == "Invalid credentials"


def connect(token, organization):
    query = {"EIO": "4", "transport": "websocket", "source": "e2e"}
    if organization is not None:
        query["organizationId"] = organization
    url = URL.replace("http", "ws", 1) + "/socket.io/?" + urllib.parse.urlencode(query)
    client = websocket.create_connection(url, timeout=PATIENCE_S)
    assert client.recv().startswith('0{"')
    client.send("40" + json.dumps({"token": token}))
    return client, client.recv()


def test_a_socket_needs_an_organisation_of_ones_own(provider):
    ada, eve = Person(provider), Person(provider)
    for organization in (None, "", eve.organization):
        client, answer = connect(ada.token, organization)
        assert answer == '44{"message":"Unauthorized"}', organization
        client.close()
    client, answer = connect(ada.token, ada.organization)
    assert answer.startswith('40{"sid"')
    client.close()


def test_a_socket_ends_with_its_token(provider):
    person = Person(provider)
    # Over already, and within what clocks may disagree by; on a slow machine one comes too late, and tries again.
    answer = ""
    deadline = time.monotonic() + PATIENCE_S
    while not answer.startswith('40{"sid"'):
        assert time.monotonic() < deadline, answer
        token = provider.token(person.name, exp=int(time.time()) - 20)
        client, answer = connect(token, person.organization)
    deadline = time.monotonic() + PATIENCE_S
    while (said := client.recv()) != "41":
        assert said == "2" and time.monotonic() < deadline, said
        client.send("3")
    client.close()
