"""A git server for cases: `git http-backend` behind a small CGI server, inside of a sandbox, on its own loopback.

`git_server.py FOLDER PORT` serves the repositories below FOLDER. Those below FOLDER/private want the name and the password
that FOLDER/login holds, on two lines.
"""

import base64
import http.server
import os
import subprocess
import sys

FOLDER, PORT = sys.argv[1], int(sys.argv[2])


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(b"")

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def answer(self, body):
        path, _, query = self.path.partition("?")
        if path.startswith("/private/") and not self.may_enter():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        settings = {
            "GIT_PROJECT_ROOT": FOLDER,
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, capture_output=True, env={**os.environ, **settings}, check=False
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        self.send_response(int(fields.pop("Status", "200 OK").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def may_enter(self):
        with open(f"{FOLDER}/login", encoding="utf-8") as file:
            wanted = ":".join(file.read().split("\n")[:2])
        return self.headers.get("Authorization") == "Basic " + base64.b64encode(wanted.encode()).decode()


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
