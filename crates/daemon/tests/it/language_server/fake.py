"""A language server for tests. FAKE_MODE says how it behaves; it writes down what it is told in `told.log`."""

import json
import os
import subprocess
import sys
import time

MODE = os.environ.get("FAKE_MODE", "")
documents = {}


def send(message):
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    sys.stdout.buffer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
    sys.stdout.buffer.flush()


def receive():
    length = 0
    while line := sys.stdin.buffer.readline().strip():
        if line.lower().startswith(b"content-length"):
            length = int(line.split(b":")[1])
    if not length:
        sys.exit(0)
    return json.loads(sys.stdin.buffer.read(length))


def place(line, end):
    return {"start": {"line": line, "character": 0}, "end": {"line": line, "character": end}}


def symbols(uri):
    """One class for each line `class X`, as a tree or as a list."""
    found = []
    for number, line in enumerate(documents.get(uri, "").splitlines()):
        if line.startswith("class "):
            symbol = {"name": line[6:].rstrip(":"), "kind": 5}
            if MODE == "tree":
                inner = {"name": "inner", "kind": 6, "range": place(number, 1), "selectionRange": place(number, 1)}
                symbol |= {"range": place(number, 9), "selectionRange": place(number, 9), "children": [inner]}
            else:
                symbol["location"] = {"uri": uri, "range": place(number, 9)}
            found.append(symbol)
    return found


def write_down(text):
    with open("told.log", "a") as log:
        log.write(text + "\n")


def answer(method, params):
    if method == "initialize":
        assert params["rootUri"].startswith("file:///"), params
        if MODE == "asks":
            send({"id": "q", "method": "workspace/configuration", "params": {"items": [{}, {}]}})
            assert receive() == {"jsonrpc": "2.0", "id": "q", "result": [None, None]}
        return {"capabilities": {"workspaceSymbolProvider": MODE == "searches"}}
    if method == "workspace/symbol":
        assert documents, "a server without documents knows no project"
        return [symbol for uri in documents for symbol in symbols(uri)]
    if method == "textDocument/documentSymbol":
        return symbols(params["textDocument"]["uri"])
    if method == "textDocument/completion":
        if MODE == "crash":
            print("I cannot go on", file=sys.stderr, flush=True)
            os._exit(7)
        if MODE == "killed":
            os.kill(os.getpid(), 9)
        if MODE == "garbage":
            print("this is no message", flush=True)
            time.sleep(3600)
        if MODE == "nonsense":
            return {"items": "many"}
        where = params["position"]
        items = [{"label": f"{where['line']}:{where['character']}", "kind": 3, "documentation": {"a": 1}}]
        return {"isIncomplete": True, "items": items, "itemDefaults": {}}
    return None


if MODE == "exits":
    sys.exit("No module named pylsp.__main__")
if MODE == "greets":
    print("Welcome!", flush=True)
    time.sleep(3600)
if MODE == "family":
    subprocess.Popen(["sleep", os.environ["FAKE_SLEEP"]], start_new_session=True)

while True:
    message = receive()
    method, params = message.get("method"), message.get("params")
    if "id" in message and method:
        if method in ("x/none", "workspace/symbol") and MODE != "searches":
            send({"id": message["id"], "error": {"code": -32601, "message": "not here"}})
        else:
            send({"id": message["id"], "result": answer(method, params)})
    elif method == "textDocument/didOpen":
        document = params["textDocument"]
        assert document["uri"] not in documents, "opened twice"
        documents[document["uri"]] = document["text"]
        write_down(f"open {os.path.basename(document['uri'])} {document['languageId']} {document['version']}")
    elif method == "textDocument/didChange":
        document = params["textDocument"]
        documents[document["uri"]] = params["contentChanges"][0]["text"]
        write_down(f"change {os.path.basename(document['uri'])} {document['version']}")
    elif method == "textDocument/didClose":
        del documents[params["textDocument"]["uri"]]
        write_down(f"close {os.path.basename(params['textDocument']['uri'])}")
    elif method == "exit":
        write_down("exit")
        sys.exit(0)
