"""Moves a file of the given size up and down with the official SDK; prints megabytes per second as JSON."""

import json
import os
import sys
import tempfile
import time

from daytona import Daytona

sandbox_id, path, size, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
sandbox = Daytona().get(sandbox_id)
speeds = {"upload": 0.0, "download_to_file": 0.0, "download_stream": 0.0}


def timed(name, work):
    started = time.perf_counter()
    work()
    speeds[name] = max(speeds[name], size / 1e6 / (time.perf_counter() - started))


with tempfile.TemporaryDirectory() as directory:
    there, back = os.path.join(directory, "there"), os.path.join(directory, "back")
    with open(there, "wb") as file:
        for _ in range(size >> 20):
            file.write(b"x" * 2**20)
    for _ in range(rounds):
        timed("upload", lambda: sandbox.fs.upload_file(there, path))
        timed("download_to_file", lambda: sandbox.fs.download_file(path, back))
        assert os.path.getsize(back) == size
        timed("download_stream", lambda: sum(map(len, sandbox.fs.download_file_stream(path))))
        sandbox.fs.delete_file(path)
print(json.dumps(speeds))
