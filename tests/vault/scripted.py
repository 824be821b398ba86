"""An HTTPS server that answers what a test lays down, and keeps what it was asked."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, NamedTuple

import trustme


class Asked(NamedTuple):
    """A request."""

    path: str
    body: Any
    token: str | None


Answer = tuple[int, bytes]
HANG_UP: Final[Answer] = (0, b"")
"""Ends the connection without a word."""
SILENCE: Final[Answer] = (-1, b"")
"""Says nothing until the server is stopped."""


class ScriptedVault:
    """Serves `answer`, which may be changed at any time."""

    def __init__(self, folder: Path, answer: Callable[[Asked], Answer]) -> None:
        self.answer = answer
        self.raw: Iterator[bytes] | None = None
        """What is written in place of an answer, a piece every tenth of a second."""
        self.asked: list[Asked] = []
        self._stopping = threading.Event()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False  # so that they are waited for, and their sockets closed
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        token = folder / "token"
        token.touch(0o600)
        token.write_text("s.scripted\n")
        self.address = (
            f"hcvault://localhost:{self._server.server_port}/transit/keys/k"
            f"?token_file={token}&ca_file={folder}/ca.pem"
        )

    def stop(self) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        vault = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                asked = Asked(self.path, body, self.headers.get("X-Vault-Token"))
                vault.asked.append(asked)
                if vault.raw is not None:
                    self.close_connection = True
                    for piece in vault.raw:
                        self.wfile.write(piece)
                        if vault._stopping.wait(0.1):
                            break
                    return
                status, content = vault.answer(asked)
                if (status, content) == SILENCE:
                    vault._stopping.wait()
                if status <= 0:
                    return
                self.send_response(status)
                if status in {301, 302, 307}:
                    self.send_header("Location", content.decode())
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = _serve  # noqa: N815 - the library's names

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Nothing."""

        return Handler


def data(**values: Any) -> Answer:
    """A good answer."""
    return 200, json.dumps({"data": values}).encode()


def fault(status: int, *errors: str) -> Answer:
    return status, json.dumps({"errors": errors}).encode()
