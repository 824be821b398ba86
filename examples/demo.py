"""The gateway's main job, from an empty directory, as a merchant's program would see it.

Starts `paygate up` in a temporary directory, talks to it over HTTPS with nothing but Python's
standard library, and checks every end state - at the gateway and in the provider's own books.
Exit status 0 means that each of them was as it must be. The parts are in `demo_parts/`.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from demo_parts.disputes import dispute_won
from demo_parts.keys import key_rotated
from demo_parts.merchant import DemoFailed, Merchant, wait_for
from demo_parts.money_back import refunds
from demo_parts.payments import (
    bank_transfer,
    card_payment,
    decline,
    manual_capture,
    three_d_secure,
)
from demo_parts.payouts import discrepancy_found, payout_to_the_cent
from demo_parts.trouble import impatient_customer, lost_answer, lost_webhooks
from demo_parts.webhooks import told_by_webhook

PARTS = (
    ("A card payment", card_payment),
    ("The payer's bank asks first: 3D Secure", three_d_secure),
    ("A decline", decline),
    ("A bank transfer, in two parts", bank_transfer),
    ("A hold, and half of it captured", manual_capture),
    ("Money back: a part, and then the rest", refunds),
    ("A dispute, answered with a file before its deadline, and won", dispute_won),
    ("The provider's answer is lost on the way, and the webhook brings the truth", lost_answer),
    ("An impatient customer clicks Pay twenty times", impatient_customer),
    ("The merchant's own server is told, signed", told_by_webhook),
    ("Not one webhook comes any more, and the payer never comes back", lost_webhooks),
    ("A payout, reconciled to the cent", payout_to_the_cent),
    ("A payout with a line that is wrong by five cents", discrepancy_found),
    ("Every record under a new key, while payments go on", key_rotated),
)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="paygate-demo-") as folder:
        data = Path(folder)
        print("starting paygate: database, sandbox, API over TLS, worker ...")
        command = [sys.executable, "-P", "-m", "paygate.cli", "up", "--data", str(data / "data")]
        command += ["--port", "0", "--sandbox-port", "0", "--ready-file", str(data / "ready.json")]
        with (data / "log").open("w") as log:
            gateway = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 -- our own
        try:
            ready = wait_for("paygate up", lambda: _ready(gateway, data))
            print(f"the gateway is at {ready['api_url']}")
            merchant = Merchant(ready)
            for number, (title, part) in enumerate(PARTS, 1):
                print(f"\n  {number:<2} {title}")
                part(merchant)
        except DemoFailed as error:
            print(f"\nFAILED: {error}\n--- the gateway's log ---\n{(data / 'log').read_text()}")
            return 1
        finally:
            gateway.terminate()
            gateway.wait()
    print(f"\nAll {len(PARTS)} parts ended as they must.")
    return 0


def _ready(gateway: subprocess.Popen[bytes], data: Path) -> dict[str, Any] | None:
    if gateway.poll() is not None:
        raise DemoFailed(f"paygate up ended with status {gateway.returncode}")
    path = data / "ready.json"
    return dict(json.loads(path.read_text())) if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
