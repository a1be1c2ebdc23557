"""A ProxyCommand for ssh: an upgraded connection to a sandbox, through the platform, with an API key.

`python upgraded.py http://host:port/toolbox/ID/ssh`, the key in DAYTONA_API_KEY.
"""

import os
import socket
import sys
import threading
import urllib.parse

LONGEST_HEAD = 16 * 1024


def connect(url, key):
    """Returns a connection on which the sandbox speaks SSH."""
    parts = urllib.parse.urlsplit(url)
    connection = socket.create_connection((parts.hostname, parts.port or 80))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(
        f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {key}\r\n"
        "Connection: Upgrade\r\nUpgrade: ssh\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        # One at a time: what follows the head is the sandbox's.
        byte = connection.recv(1)
        if not byte or len(head) > LONGEST_HEAD:
            sys.exit(f"no upgrade: {head!r}")
        head += byte
    if not head.startswith(b"HTTP/1.1 101 "):
        sys.exit(f"no upgrade: {head.decode(errors='replace')}")
    return connection


def inward(connection):
    while data := os.read(0, 65536):
        connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def main():
    connection = connect(sys.argv[1], os.environ["DAYTONA_API_KEY"])
    threading.Thread(target=inward, args=(connection,), daemon=True).start()
    while data := connection.recv(65536):
        while data:
            data = data[os.write(1, data) :]


if __name__ == "__main__":
    main()
