"""A login provider of the cases' own: it publishes its description and keys as OpenID Connect says, and signs tokens."""

import base64
import json
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

COORDINATE_BYTES = 32


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value):
    return encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Provider:
    """Listens where a server looks for it, which its settings say before anybody listens there."""

    def __init__(self, url, audience):
        self.url = url
        self.audience = audience
        # Named anew each time: a server that knew another provider at this address must not take one for the other.
        run = uuid.uuid4().hex
        self.names = {"RS256": f"rsa-{run}", "ES256": f"curve-{run}"}
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.curve = ec.generate_private_key(ec.SECP256R1())
        documents = {
            "/.well-known/openid-configuration": {"issuer": url, "jwks_uri": f"{url}/keys"},
            "/keys": {"keys": self.public()},
        }

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                found = documents.get(self.path)
                body = json.dumps(found).encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        parts = urllib.parse.urlsplit(url)
        self.server = ThreadingHTTPServer((parts.hostname, parts.port), Handler)
        self.server.daemon_threads = True

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def public(self):
        numbers, point = self.rsa.public_key().public_numbers(), self.curve.public_key().public_numbers()
        x, y = (encode(value.to_bytes(COORDINATE_BYTES, "big")) for value in (point.x, point.y))
        return [
            {"kty": "RSA", "kid": self.names["RS256"], "use": "sig", "n": number(numbers.n), "e": number(numbers.e)},
            {"kty": "EC", "kid": self.names["ES256"], "use": "sig", "crv": "P-256", "x": x, "y": y},
        ]

    def token(self, user, algorithm="RS256", **claims):
        header = {"alg": algorithm, "typ": "JWT", "kid": self.names[algorithm]}
        claims = {"iss": self.url, "aud": self.audience, "sub": user, "exp": int(time.time()) + 3600, **claims}
        signed = ".".join(encode(json.dumps(part).encode()) for part in (header, claims))
        if algorithm == "RS256":
            signature = self.rsa.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        else:
            pair = decode_dss_signature(self.curve.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
            signature = b"".join(value.to_bytes(COORDINATE_BYTES, "big") for value in pair)
        return f"{signed}.{encode(signature)}"
