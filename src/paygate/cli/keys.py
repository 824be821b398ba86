"""`paygate keys`: the key that all others are wrapped with."""

from pathlib import Path
from typing import Annotated

import typer

from paygate.cli.command import Data, settings_of
from paygate.settings import NOTHING, SettingsError

KEEP = """\
Keep a copy of {path} apart from the database's backups: without it no record can be read
again, and who has both can read them all."""

app = typer.Typer(help="The key-encryption key (PAYGATE_KEK).", no_args_is_help=True)


@app.command("create-kek")
def create_kek(
    path: Annotated[Path, typer.Argument(help="A file that does not exist yet.")],
    data: Data = None,
) -> None:
    """Make a key-encryption key in a file, for its owner's eyes alone."""
    made = create_kek_file(path, settings_of(data, NOTHING).data)
    typer.echo(f"made {made} (mode 0600). Its setting:\nPAYGATE_KEK={made.as_uri()}")
    typer.echo(KEEP.format(path=made))


def create_kek_file(path: Path, data: Path) -> Path:
    """Make the file, outside of the data directory; returns where it is, absolute.

    Raises:
        SettingsError: it would lie in the data directory.
        KmsError: it exists, or cannot be made.
    """
    from paygate.crypto.kms import FileKms

    path = path.expanduser().absolute()
    if path.parent.resolve().is_relative_to(data.resolve()):
        raise SettingsError(
            f"{path} is in the data directory {data}, and whoever copies that would have the key"
            " too: name another place"
        )
    FileKms.create(path)
    return path
