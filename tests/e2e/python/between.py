"""A proxy between an SDK and a server: it writes down what passes, and can make polling useless."""

import json
import socket
import threading
import urllib.parse
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Between:
    """Passes requests and sockets on. While frozen, a sandbox's GET answers as the first one since then did."""

    def __init__(self, api_url):
        parts = urllib.parse.urlsplit(api_url)
        self.upstream = (parts.hostname, parts.port or 80)
        self.lock = threading.Lock()
        # What was answered to GETs of sandboxes, as pairs of the sandbox and the state.
        self.polled = []
        # The texts of all sockets, as pairs of who said it and what.
        self.said = []
        self.frozen = None
        between = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def pass_on(self):
                between.pass_on(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}{parts.path}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def freeze(self):
        """From now on polling tells only what it tells first."""
        with self.lock:
            self.polled.clear()
            self.frozen = {}

    def events(self, name):
        """The payloads of the events of this name that the server sent."""
        with self.lock:
            said = [text for who, text in self.said if who == "server" and text.startswith("42")]
        events = [json.loads(text[2:]) for text in said]
        return [payload for known, payload in events if known == name]

    def count(self, who, text):
        """How often this was said on any socket."""
        with self.lock:
            return sum(1 for pair in self.said if pair == (who, text))

    def pass_on(self, handler):
        if handler.headers.get("Upgrade", "").lower() == "websocket":
            self.splice(handler)
            return
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        is_poll = handler.command == "GET" and handler.path.split("?")[0].count("/") == 3 and "/sandbox/" in handler.path
        with self.lock:
            answer = self.frozen.get(handler.path) if is_poll and self.frozen is not None else None
        if answer is None:
            upstream = HTTPConnection(*self.upstream, timeout=120)
            headers = {name: value for name, value in handler.headers.items() if name.lower() != "connection"}
            upstream.request(handler.command, handler.path, body=body, headers={**headers, "Connection": "close"})
            response = upstream.getresponse()
            answer = (response.status, response.getheader("Content-Type"), response.read())
            upstream.close()
        status, content_type, content = answer
        if is_poll:
            with self.lock:
                if self.frozen is not None:
                    self.frozen.setdefault(handler.path, answer)
                if status == 200:
                    told = json.loads(content)
                    self.polled.append((told["id"], told["state"]))
        handler.send_response(status)
        if content_type:
            handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def splice(self, handler):
        handler.close_connection = True
        client = handler.connection
        server = socket.create_connection(self.upstream)
        head = f"{handler.command} {handler.path} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in handler.headers.items())
        server.sendall(head.encode() + b"\r\n")
        back = threading.Thread(target=self.copy, args=("server", server.recv, client), daemon=True)
        back.start()
        self.copy("client", handler.rfile.read1, server)
        back.join()

    def copy(self, who, read, target):
        """Copies bytes and writes down the texts of the frames in them, behind the head of an answer."""
        buffer = b""
        is_head = who == "server"
        while True:
            try:
                data = read(65536)
            except OSError:
                break
            if not data:
                break
            # Written down first: who gets it may look here at once.
            buffer += data
            if is_head and b"\r\n\r\n" in buffer:
                buffer = buffer.split(b"\r\n\r\n", 1)[1]
                is_head = False
            while not is_head and (frame := read_frame(buffer)) is not None:
                text, buffer = frame
                if text is not None:
                    with self.lock:
                        self.said.append((who, text))
            try:
                target.sendall(data)
            except OSError:
                break
        try:
            target.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def read_frame(data):
    """Takes one frame off the front: its text, nothing for another kind, and the rest."""
    if len(data) < 2:
        return None
    kind, masked, length, at = data[0] & 0x0F, data[1] & 0x80, data[1] & 0x7F, 2
    if length >= 126:
        wide = 2 if length == 126 else 8
        if len(data) < at + wide:
            return None
        length, at = int.from_bytes(data[at : at + wide], "big"), at + wide
    mask = data[at : at + 4] if masked else b"\0\0\0\0"
    at += 4 if masked else 0
    if len(data) < at + length:
        return None
    payload = data[at : at + length]
    rest = data[at + length :]
    if kind != 1:
        return None, rest
    return bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload)).decode(), rest
