"""`paygate init`: a `paygate.toml` that the other commands take, and the key file beside it.

What is not an option is taken from the environment, or else asked for where there is a terminal.
Secrets are no options, for every user may list those, and are never shown.
"""

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer

from paygate.cli.keys import KEEP, create_kek_file
from paygate.private import drafted
from paygate.settings import FILE, PREFIX, SettingsError, line, load


class Entry(NamedTuple):
    """A setting in the file that is written: commented out, with its example, while not set."""

    name: str
    comment: str
    example: str
    question: str | None = None
    """None: it is not asked for."""
    is_secret: bool = False
    is_needed: bool = False


ENTRIES: Final = (
    Entry(
        "environment",
        "`production` refuses what is only for trying; a test key takes `development`.",
        "production",
    ),
    Entry(
        "stripe_api_key",
        "Stripe's secret key. Its mode and its account are this installation's, for good.",
        "sk_live_...",
        "Stripe's secret key (sk_ or rk_)",
        is_secret=True,
        is_needed=True,
    ),
    Entry(
        "stripe_webhook_secrets",
        "What Stripe signs events with, comma-separated: `paygate webhooks register` tells it.",
        "whsec_SECRET",
        is_secret=True,
    ),
    Entry(
        "database_url",
        "PostgreSQL. A password may stay in ~/.pgpass.",
        "postgresql://paygate@127.0.0.1/paygate",
        "PostgreSQL (postgresql://user:password@host/database)",
        is_secret=True,
        is_needed=True,
    ),
    Entry(
        "kek",
        "The key that all other keys are wrapped with. Keep a copy apart from the backups.",
        "file:///etc/paygate/kek",
    ),
    Entry(
        "public_url",
        "Where Stripe and payers' browsers reach this gateway.",
        "https://pay.example",
        "This gateway's public address (https://pay.example)",
        is_needed=True,
    ),
    Entry(
        "return_url_hosts",
        "The hosts that payers may be sent back to, comma-separated.",
        "shop.example,*.shop.example",
        "Hosts that payers are sent back to (shop.example,*.shop.example)",
        is_needed=True,
    ),
    Entry(
        "tls_cert",
        "PEM files, taken up anew when they change.",
        "/etc/paygate/tls/fullchain.pem",
        "TLS certificate (a PEM file with its chain)",
        is_needed=True,
    ),
    Entry(
        "tls_key",
        "Without a passphrase, and readable by the service alone.",
        "/etc/paygate/tls/privkey.pem",
        "TLS key (a PEM file)",
        is_needed=True,
    ),
    Entry(
        "trusted_proxies",
        "Networks of reverse proxies, whose X-Forwarded-For is believed.",
        "127.0.0.1",
    ),
    Entry(
        "limits_url",
        "Where rate limits are counted; several nodes share valkey://host:6379.",
        "memory://",
    ),
)
HEAD: Final = """\
# The settings of this gateway. It holds secrets: keep it for its owner's eyes (mode 0600).
# PAYGATE_ variables of the same names win over it. README.md lists every setting.
"""
NEXT: Final = """\
Next, in {folder} (docs/stripe.md is the whole way):
  paygate migrate                             the database
  paygate webhooks register >> {file}   Stripe's events, and their signing secret
  paygate api-keys create --role operator     your server's key
  paygate serve                               the API
  paygate worker                              jobs, beside it"""


def init(
    folder: Annotated[
        Path, typer.Argument(help="Where paygate.toml goes; later commands are run there.")
    ] = Path(),
    environment: Annotated[
        str | None,
        typer.Option(help="development or production; by default as the Stripe key's mode."),
    ] = None,
    public_url: Annotated[
        str | None, typer.Option(help="Where Stripe and payers' browsers reach this gateway.")
    ] = None,
    return_url_hosts: Annotated[
        str | None, typer.Option(help="Hosts that payers may be sent back to, comma-separated.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="A PEM file, with its chain.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="A PEM file.")] = None,
    kek: Annotated[
        Path | None,
        typer.Option(help="The key file: made, or taken if it is there.", show_default="kek"),
    ] = None,
) -> None:
    """Write paygate.toml and the key-encryption key; refuses to overwrite either.

    Values that are no options here come from PAYGATE_ variables
    (PAYGATE_STRIPE_API_KEY, PAYGATE_DATABASE_URL, ...), or are asked for in a
    terminal. What is still missing stands in the file, commented out.
    """
    folder = folder.expanduser().absolute()
    target = folder / FILE
    if os.path.lexists(target):
        raise SettingsError(f"{target} exists, and is not overwritten")
    folder.mkdir(mode=0o700, exist_ok=True)
    options = {
        "environment": environment,
        "public_url": public_url,
        "return_url_hosts": return_url_hosts,
        "tls_cert": tls_cert and str(tls_cert),
        "tls_key": tls_key and str(tls_key),
    }
    known = {
        e.name: value
        for e in ENTRIES
        if (value := options.get(e.name) or os.environ.get(f"{PREFIX}{e.name.upper()}"))
    }
    values = _complete(known)
    key_file = None
    if kek is not None or "kek" not in values:
        key_file = (kek or folder / "kek").expanduser().absolute()
        values["kek"] = key_file.as_uri()
    _check(values)
    is_new = key_file is not None and _ensure_key_file(key_file, folder, values["environment"])
    write_new(target, render(values))
    _tell(folder, values, key_file if is_new else None)


def _tell(folder: Path, values: Mapping[str, str], made: Path | None) -> None:
    """Say what was written, what is missing, and what comes next."""
    typer.echo(f"wrote {folder / FILE} (mode 0600)")
    if made is not None:
        typer.echo(f"made the key-encryption key {made} (mode 0600)")
        typer.echo(KEEP.format(path=made))
    missing = [f"{PREFIX}{e.name.upper()}" for e in ENTRIES if e.is_needed and e.name not in values]
    if missing:
        typer.echo(f"Not set yet, in the file or the environment: {', '.join(missing)}")
    typer.echo(NEXT.format(folder=folder, file=FILE))


def render(values: Mapping[str, str]) -> str:
    """A `paygate.toml` of these values, and of the entries that have none as comments."""
    parts = [HEAD]
    for entry in ENTRIES:
        known = entry.name in values
        text = line(entry.name, values[entry.name] if known else entry.example)
        parts.append(f"\n# {entry.comment}\n{'' if known else '# '}{text}")
    return "".join(parts)


def _complete(known: Mapping[str, str]) -> dict[str, str]:
    """What is known, with the answers to the open questions, and the environment."""
    values = dict(known)
    _check(values)
    for entry in ENTRIES:
        is_open = entry.name not in values and entry.question is not None
        if entry.name == "tls_key" and "tls_cert" not in values:
            is_open = False
        if is_open and sys.stdin.isatty() and (typed := _ask(entry, values)):
            values[entry.name] = typed
        if entry.name == "stripe_api_key":  # later answers are held to the environment
            values.setdefault("environment", _environment_of(values.get(entry.name)))
    if "tls_key" not in values:
        values.pop("tls_cert", None)
    for name in ("tls_cert", "tls_key"):
        if name in values:
            values[name] = str(Path(values[name]).expanduser().absolute())
    return values


def _environment_of(api_key: str | None) -> str:
    return "production" if api_key is None or _livemode(api_key) else "development"


def _ask(entry: Entry, values: Mapping[str, str]) -> str | None:
    """An answer that the settings take, or None for none."""
    while True:
        typed: str = typer.prompt(
            f"{entry.question}, or nothing to set it later",
            default="",
            show_default=False,
            hide_input=entry.is_secret,
            err=True,
        ).strip()
        if not typed:
            return None
        try:
            # A certificate goes with its key, which is asked for next.
            pair = {"tls_key": typed} if entry.name == "tls_cert" else {}
            _check({**values, **pair, entry.name: typed})
        except SettingsError as error:
            typer.echo(str(error), err=True)
        else:
            return typed


def _check(values: Mapping[str, str]) -> None:
    """Raises SettingsError: the other commands would refuse these values."""
    if "stripe_api_key" in values:
        _livemode(values["stripe_api_key"])
    with tempfile.TemporaryDirectory() as nothing:
        (Path(nothing) / FILE).touch()  # or the file of the working directory would be read
        load({f"{PREFIX}{n.upper()}": value for n, value in values.items()}, data=Path(nothing))


def _livemode(api_key: str) -> bool:
    from paygate.crypto.secret import Secret
    from paygate.providers.stripe.settings import livemode_of

    try:
        return livemode_of(Secret(api_key))
    except ValueError as error:
        raise SettingsError(f"{PREFIX}STRIPE_API_KEY: {error}") from None


def _ensure_key_file(path: Path, folder: Path, environment: str) -> bool:
    """Make the key file, or look at the one that is there; returns whether it was made.

    An init that was cut short left the key and no settings: the next one takes it.
    """
    from paygate.crypto.kms import FileKms

    if not os.path.lexists(path):
        create_kek_file(path, Path(os.environ.get(f"{PREFIX}DATA", folder / "data")))
        return True
    if FileKms.open(path).is_development and environment == "production":
        raise SettingsError(f"production refuses the key that `paygate up` made: {path}")
    return False


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet, whole or not at all, mode 0600."""
    try:
        with drafted(path, text.encode()) as draft:
            os.link(draft, path)  # unlike a rename, refuses to replace
    except FileExistsError:
        raise SettingsError(f"{path} exists, and is not overwritten") from None
