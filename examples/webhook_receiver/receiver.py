"""A receiver of paygate's webhooks to copy from: verified, and each event done once.

Run it beside a gateway, with the secret that creating the webhook endpoint answered:

    WEBHOOK_SECRET=whsec_... python receiver.py 8080 shop.db

Its ten lines of work are `receive`. The rest is Python's own web server and SQLite; yours are
your framework's and your own database.
"""

import os
import sqlite3
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

SECRET = os.environ["WEBHOOK_SECRET"]
PORT, DATABASE = int(sys.argv[1]), sys.argv[2]


def receive(body: bytes, headers: dict[str, str]) -> int:
    """The status to answer. Anything but 2xx, and an exception too, means: send it again."""
    try:
        event = Webhook(SECRET).verify(body, headers)
    except WebhookVerificationError:
        return 400
    with sqlite3.connect(DATABASE, timeout=10) as transaction:  # all of it, or nothing
        claim = "INSERT INTO done (event) VALUES (?) ON CONFLICT DO NOTHING"
        if transaction.execute(claim, (event["id"],)).rowcount:
            work(transaction, event)
    return 204


def work(transaction: sqlite3.Connection, event: dict[str, Any]) -> None:
    """What your shop does. In the transaction of the claim, so that what failed is done again.

    Events come in any order: an older version of an object changes nothing.
    """
    paid = event["data"]["object"]
    row = (paid["id"], event["object_version"], paid["status"], paid["reference"])
    transaction.execute(
        "INSERT INTO payment (id, version, status, reference) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET version = excluded.version, status = excluded.status"
        " WHERE excluded.version > payment.version",
        row,
    )


class Door(BaseHTTPRequestHandler):
    """Python's own web server."""

    def do_POST(self) -> None:
        """Receive, and answer."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        status = 500
        try:
            status = receive(body, dict(self.headers))
        finally:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def main() -> None:
    """Make the tables, and listen."""
    with sqlite3.connect(DATABASE) as database:
        database.execute("CREATE TABLE IF NOT EXISTS done (event TEXT PRIMARY KEY)")
        database.execute(
            "CREATE TABLE IF NOT EXISTS payment"
            " (id TEXT PRIMARY KEY, version INTEGER, status TEXT, reference TEXT)"
        )
    ThreadingHTTPServer(("127.0.0.1", PORT), Door).serve_forever()


if __name__ == "__main__":
    main()
