"""`python -m paygate.sandbox`: the simulator as a process of its own.

It must never print or write a secret but into the ready file, which is for its owner only.
"""

import argparse
import json
import logging
import os
import secrets
import sys
from pathlib import Path

import uvloop

from paygate.sandbox.server import SandboxOptions, serve
from paygate.sandbox.store.database import DatabaseInUseError


def main() -> int:
    parser = _parser()
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    try:
        options = SandboxOptions(
            host=arguments.host,
            port=arguments.port,
            data_dir=arguments.data,
            secret_key=arguments.secret_key,
            publishable_key=arguments.publishable_key,
            ca_file=arguments.ca_file,
            seed=arguments.seed,
        )
    except ValueError as error:
        parser.error(str(error))

    def ready(url: str) -> None:
        if arguments.ready_file is not None:
            write_ready_file(arguments.ready_file, url, options.secret_key)
        sys.stdout.write(f"the provider simulator answers on {url}\n")
        sys.stdout.flush()

    try:
        uvloop.run(serve(options, ready))
    except (DatabaseInUseError, OSError) as error:
        sys.stderr.write(f"the provider simulator did not start: {error}\n")
        return 1
    return 0


def write_ready_file(path: Path, url: str, secret_key: str) -> None:
    """Whole or not at all, readable by its owner."""
    # A name that nobody can guess: a stranger's file or link never lies there already.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        json.dump({"url": url, "secret_key": secret_key}, handle)
    draft.replace(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m paygate.sandbox",
        description="A payment provider that speaks Stripe's wire protocol, for tests.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--data", type=Path, required=True, help="directory of its durable store")
    parser.add_argument("--secret-key", required=True)
    parser.add_argument("--publishable-key", required=True)
    parser.add_argument("--ca-file", type=Path, help="trusted for https webhook endpoints")
    parser.add_argument("--ready-file", type=Path, help="JSON with url and secret_key, when ready")
    parser.add_argument("--seed", help="makes ids repeatable")
    return parser


if __name__ == "__main__":
    sys.exit(main())
