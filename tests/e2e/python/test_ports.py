"""Ports of a sandbox: which are listened on, and the way to them through the toolbox."""

import time

import pytest
from httpx_ws import connect_ws

from wire import assert_error_body, assert_refused

SERVER = """
import http.server, socketserver, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        self.send_response(201)
        self.end_headers()
        told = f"{self.path} {self.headers['Host']} {self.headers['Authorization']} ".encode()
        self.wfile.write(told + body)

    def do_GET(self):
        if self.path.startswith('/go?'):
            self.send_response(302)
            self.send_header('Location', self.path[4:])
            self.send_header('Content-Length', '0')
            return self.end_headers()
        if self.path == '/there':
            self.send_response(200)
            self.send_header('Content-Length', '5')
            self.end_headers()
            return self.wfile.write(b'there')
        self.send_response(200)
        self.send_header('Content-Length', str(64 << 20))
        self.end_headers()
        for _ in range(64):
            self.wfile.write(bytes(1 << 20))

socketserver.TCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
"""

ECHO = """
import base64, hashlib, socket, sys
listener = socket.create_server(('::1', int(sys.argv[1])), family=socket.AF_INET6)
client, _ = listener.accept()
head = b''
while b'\\r\\n\\r\\n' not in head:
    head += client.recv(4096)
key = [line for line in head.decode().split('\\r\\n') if line.lower().startswith('sec-websocket-key')][0]
key = key.split(': ')[1] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
client.sendall(f'HTTP/1.1 101 x\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: {accept}\\r\\n\\r\\n'.encode())
first = client.recv(2)
length, mask = first[1] & 127, client.recv(4)
data = bytes(byte ^ mask[index % 4] for index, byte in enumerate(client.recv(length)))
client.sendall(bytes([0x81, len(data)]) + data)
client.recv(100)
"""


@pytest.fixture(scope="module")
def ask(box, raw):
    """Asks the toolbox of the file's sandbox."""
    return lambda method, path, **options: raw.toolbox(box, method, path, **options)


@pytest.fixture(scope="module")
def serve(box, ask):
    """Runs a program on a port that only the sandbox itself can reach, and waits until it listens."""

    def run(text, port):
        name = f"server{port}.py"
        box.fs.upload_file(text.encode(), name)
        assert ask("GET", f"/port/{port}/in-use").json() == {"isInUse": False}
        assert box.process.exec(f"python3 {name} {port} >{name}.log 2>&1 & echo").exit_code == 0
        deadline = time.monotonic() + 60
        while port not in ask("GET", "/port").json()["ports"]:
            assert time.monotonic() < deadline, f"nobody listens on {port}"
            time.sleep(0.1)
        return port

    return run


@pytest.fixture(scope="module")
def port(serve):
    return serve(SERVER, 8123)


def test_a_server_is_seen(ask, port):
    assert ask("GET", f"/port/{port}/in-use").json() == {"isInUse": True}
    ports = ask("GET", "/port").json()["ports"]
    assert ports == sorted(set(ports))


@pytest.mark.parametrize("port", ["2999", "10000", "0", "-1", "x"])
def test_ports_that_cannot_be_asked_for(ask, port):
    assert_refused(ask("GET", f"/port/{port}/in-use"), 400)


def test_a_request_reaches_the_server_and_not_the_key(ask, port):
    answer = ask("POST", f"/proxy/{port}/a%2Fb//c?x=%20y", content=b"body")
    assert (answer.status_code, answer.text) == (201, f"/a%2Fb//c?x=%20y localhost:{port} None body")


def test_a_long_answer_streams(ask, port):
    assert len(ask("GET", f"/proxy/{port}/").content) == 64 << 20


@pytest.mark.parametrize("location", ["/there", "http://localhost:8123/there", "there", "./there"])
def test_a_redirect_leads_to_the_same_server(ask, port, location):
    assert ask("GET", f"/proxy/{port}/go?{location}", follow_redirects=True).text == "there"


def test_a_redirect_elsewhere_is_left_alone(ask, port):
    for location in ("https://example.com/x", "//example.com/x", "http://localhost:81230/x"):
        assert ask("GET", f"/proxy/{port}/go?{location}").headers["Location"] == location


def test_a_web_socket_passes(box, raw, serve):
    url = f"{box.toolbox_proxy_url}/{box.id}/proxy/{serve(ECHO, 8124)}/ws"
    with connect_ws(url, raw.client) as socket:
        socket.send_text("hello")
        assert socket.receive_text(timeout=20) == "hello"


def test_where_nobody_listens(ask):
    answer = ask("GET", "/proxy/8999/")
    assert (answer.status_code, answer.json()["code"]) == (502, "BAD_GATEWAY")
    assert_error_body(answer)
    assert "8999" in answer.json()["message"]


@pytest.mark.parametrize("port, status", [("2280", 403), ("22220", 403), ("0", 400), ("x", 400), ("65536", 400)])
def test_ports_that_are_not_reached(ask, port, status):
    assert_refused(ask("GET", f"/proxy/{port}/"), status)
