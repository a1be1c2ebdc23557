"""Uploads what an image needs as the official client does, in a process that trusts the server; prints what came of it."""

import asyncio
import json
import os
import sys

from daytona import AsyncDaytona, Daytona, Image
from daytona._async.object_storage import AsyncObjectStorage
from daytona._async.snapshot import AsyncSnapshotService
from daytona._sync.object_storage import ObjectStorage
from daytona._sync.snapshot import SnapshotService


def declared(home):
    """An image that takes files in each way that the client has."""
    return (
        Image.base("debian:12")
        .add_local_file(os.path.join(home, "one.txt"), "/work/one.txt")
        .add_local_dir(os.path.join(home, "tree"), "/work/tree")
        .pip_install_from_requirements(os.path.join(home, "requirements.txt"))
        .dockerfile_commands(["COPY two.txt /work/two.txt"], context_dir=home)
    )


def arguments(access):
    return {
        "endpoint_url": access.storage_url,
        "aws_access_key_id": access.access_key,
        "aws_secret_access_key": access.secret,
        "aws_session_token": access.session_token,
        "bucket_name": access.bucket,
        "region": access.region,
    }


def key_of(access, context_hash):
    return f"{access.organization_id}/{context_hash}/context.tar"


def api_of(daytona, service):
    """The client's own way to ask for access, which it keeps to itself."""
    return getattr(daytona.snapshot, f"_{service.__name__}__object_storage_api")


def synchronous(home):
    api = api_of(Daytona(), SnapshotService)
    hashes = SnapshotService.process_image_context(api, declared(home))
    access = api.get_push_access()
    store = ObjectStorage(**arguments(access)).store
    return access, {one: bytes(store.get(key_of(access, one)).bytes()) for one in hashes}


async def asynchronous(home):
    async with AsyncDaytona() as daytona:
        api = api_of(daytona, AsyncSnapshotService)
        hashes = await AsyncSnapshotService.process_image_context(api, declared(home))
        access = await api.get_push_access()
        store = AsyncObjectStorage(**arguments(access)).store
        found = {}
        for one in hashes:
            found[one] = bytes(await (await store.get_async(key_of(access, one))).bytes_async())
        return access, found


if __name__ == "__main__":
    kind, home = sys.argv[1:]
    access, contexts = synchronous(home) if kind == "sync" else asyncio.run(asynchronous(home))
    shown = {one: content.hex() for one, content in contexts.items()}
    print(json.dumps({"url": access.storage_url, "contexts": shown}))
