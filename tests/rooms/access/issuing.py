"""An OIDC issuer that runs here, for tests: its keys are fetched over HTTP, as anybody's are."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from holdfast.clock import now

AUDIENCE = "holdfast"


class Issuer:
    """An OIDC issuer: a discovery document, published keys, and tokens signed with them."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.private: dict[str, Any] = {}
        self.down = False
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                body = json.dumps(issuer.answer(self.path)).encode()
                self.send_response(503 if issuer.down else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.add_key("first")

    def add_key(self, kid: str, *, curve: bool = False) -> None:
        self.private[kid] = (
            ec.generate_private_key(ec.SECP256R1())
            if curve
            else rsa.generate_private_key(public_exponent=65537, key_size=2048)
        )

    def answer(self, path: str) -> dict[str, Any]:
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        keys = []
        for kid, key in self.private.items():
            algorithm: Any = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
            keys.append({**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"})
        return {"keys": keys}

    def token(self, kid: str = "first", *, signed_by: Any = None, algorithm: str = "RS256", **claims: Any) -> str:
        standard = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "u-1",
            "exp": now() + timedelta(minutes=5),
            "preferred_username": "ada",
            "roles": ["operator"],
        }
        said = {name: value for name, value in {**standard, **claims}.items() if value is not None}
        return jwt.encode(said, signed_by or self.private[kid], algorithm=algorithm, headers={"kid": kid})

    def times_asked(self, path: str) -> int:
        return self.asked.count(path)


@contextlib.contextmanager
def issuing() -> Iterator[Issuer]:
    """An issuer, until the block ends."""
    one = Issuer()
    thread = threading.Thread(target=one.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield one
    finally:
        one.server.shutdown()
        one.server.server_close()
        thread.join()
