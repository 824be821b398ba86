"""The first connection: whatever is wrong with it is told in one line, with the place and without
the password.
"""

import functools
import socket

import pytest

from paygate.embedded.server import EmbeddedPostgres
from paygate.storage.connections.reach import UnreachableError, place, reaching
from paygate.storage.connections.session import Connection, dial


async def fault_message(dsn: str) -> str:
    with pytest.raises(UnreachableError) as fault:
        await reaching(functools.partial(dial, dsn, name="test"), dsn)()
    message = str(fault.value)
    assert "\n" not in message
    assert "hunter2" not in message
    return message


async def test_what_the_server_does_not_know_is_named(postgres: EmbeddedPostgres) -> None:
    user, rest = postgres.dsn.removeprefix("postgresql://").split("@", 1)
    folder = rest.partition("host=")[2].partition("&")[0]
    message = await fault_message(
        f"postgresql://{user}:hunter2@{rest}".replace("/paygate?", "/nowhere?")
    )
    assert message.startswith(f"cannot use database nowhere at {folder}:")
    assert message.endswith('database "nowhere" does not exist')
    message = await fault_message(f"postgresql://nobody:hunter2@{rest}")
    assert message.endswith('role "nobody" does not exist')


async def test_a_place_where_no_server_is_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    message = await fault_message(f"postgresql://u:hunter2@127.0.0.1:{port}/paygate")
    assert message.startswith(f"cannot use database paygate at 127.0.0.1:{port}: nothing listens")
    message = await fault_message("postgresql://u:hunter2@/paygate?host=/nowhere&port=7")
    assert message.startswith("cannot use database paygate at /nowhere:7: there is no such socket")
    message = await fault_message("postgresql://u:hunter2@nowhere.invalid/paygate")
    assert message.endswith("at nowhere.invalid:5432: there is no host of this name")


async def test_a_server_that_says_nothing_is_named() -> None:
    async def silence() -> Connection:
        raise TimeoutError

    with pytest.raises(UnreachableError, match=r"paygate at db:5432: no answer within 2.5 seconds"):
        await reaching(silence, "postgresql://db/paygate")()


async def test_an_address_that_the_driver_refuses_is_not_quoted() -> None:
    message = await fault_message("postgresql://u:hunter2@127.0.0.1/x?sslmode=hunter2")
    assert message.endswith("PAYGATE_DATABASE_URL is no address that the driver takes")


@pytest.mark.parametrize(
    ("dsn", "environ", "shown"),
    [
        ("postgresql://u:hunter2@db.example/x", {}, "database x at db.example:5432"),
        ("postgresql://u:p@hunter2@[::1]:7/x%20y", {}, "database x y at [::1]:7"),
        ("postgresql://u@[::1]/x", {}, "database x at [::1]:5432"),
        ("postgresql://u@a:1,b:2/x", {}, "database x at a:1,b:2"),
        ("postgresql:///?host=h&port=7&dbname=x&password=hunter2", {}, "database x at h:7"),
        ("postgresql:///x", {"PGHOST": "h", "PGPORT": "8"}, "database x at h:8"),
        ("postgresql://", {"PGDATABASE": "y"}, "database y at the local socket:5432"),
        ("postgresql://h", {}, "the user's own database at h:5432"),
    ],
)
def test_the_place_is_named_without_the_password(
    dsn: str, environ: dict[str, str], shown: str
) -> None:
    assert place(dsn, environ) == shown
