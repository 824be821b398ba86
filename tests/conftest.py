"""Fixtures that every floor shares: a real PostgreSQL, and databases cut from one template."""

import contextlib
import itertools
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest
from hypothesis.configuration import set_hypothesis_home_dir

from paygate.embedded.server import EmbeddedPostgres
from paygate.storage.connections.database import connector
from paygate.storage.connections.session import Connection
from paygate.storage.schema.migrate import migrate
from tests.gateway import Gateway
from tests.raw import raw

_numbers = itertools.count()
_MEMORY = Path("/dev/shm")
_ROOM = 8 * 2**30
_OURS = "PAYGATE_"
_TESTS = Path(__file__).parent
_LONGEST = (
    *("payments/test_faults.py", "races/test_kill_every_step.py", "upgrades/test_two_versions.py"),
    *("payments/test_interleavings.py", "cli/test_api_keys.py", "cli/test_cli.py"),
    *("payments/test_scenarios.py", "docs/test_pages.py", "races/test_killed_process.py"),
    *("docs/test_stripe_page.py", "cli/test_restored_elsewhere.py", "cli/test_restored.py"),
    "cli/test_conventions.py",
    *("cli/test_processes.py", "sandbox/test_documents.py", "payments/test_transfer_faults.py"),
    *("providers/test_stripe_listing.py", "cli/test_bench.py", "storage/test_no_plaintext.py"),
    *(
        "sandbox/test_crash.py",
        "examples/test_checkout.py",
        "storage/connections/test_half_open.py",
    ),
)
"""Files by the time they take, where it is seconds. What begins last should end soon."""


def pytest_configure(config: pytest.Config) -> None:
    """Hundreds of databases are made and dropped: in memory, where there is room, that is cheap.

    Every server keeps its settings, fsync among them; only the disk beneath is a fast one. The
    settings of whoever runs the tests are theirs: neither a test nor a process of one sees them.
    """
    for name in [name for name in os.environ if name.startswith(_OURS)]:
        del os.environ[name]
    # No test leaves this machine; to read the public authorities' certificates takes 50 ms of CPU,
    # of each process and of each sandbox.
    os.environ["SSL_CERT_FILE"] = os.devnull
    set_hypothesis_home_dir(config.rootpath / ".hypothesis")
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files (`--no-loadscope-reorder` keeps this order)."""
    ranks = {_TESTS / name: rank for rank, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


@pytest.fixture(scope="session", autouse=True)
def _away_from_the_checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An empty working directory: in the developer's own are their `data/` and `paygate.toml`."""
    with contextlib.chdir(tmp_path_factory.mktemp("cwd")):
        yield


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """The server that the whole run shares."""
    data: Path = tmp_path_factory.mktemp("postgres")
    server = EmbeddedPostgres.start(data)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
async def template(postgres: EmbeddedPostgres) -> str:
    """A migrated database that the others are copied from."""
    admin = await asyncpg.connect(postgres.dsn)
    await admin.execute("CREATE DATABASE template_paygate")
    await admin.close()
    await migrate(connector(_named(postgres.dsn, "template_paygate"), name="migrate"))
    return "template_paygate"


@pytest.fixture
async def database(postgres: EmbeddedPostgres, template: str) -> AsyncIterator[str]:
    """The DSN of a fresh migrated database."""
    name = f"test_{next(_numbers)}"
    admin = await asyncpg.connect(postgres.dsn)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    try:
        yield _named(postgres.dsn, name)
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


@pytest.fixture
async def connect(database: str) -> AsyncIterator[Callable[[], Awaitable[Connection]]]:
    """A foreign connection to the same database."""
    async with AsyncExitStack() as stack:

        async def open_one() -> Connection:
            connection = await raw(database)
            stack.push_async_callback(connection.close)
            return connection

        yield open_one


@pytest.fixture
async def bare(postgres: EmbeddedPostgres) -> AsyncIterator[Connection]:
    """A connection to a database that was never migrated."""
    admin = await asyncpg.connect(postgres.dsn)
    await admin.execute("CREATE DATABASE bare TEMPLATE template0")
    connection = await raw(postgres.dsn, database="bare")
    yield connection
    await connection.close()
    await admin.execute("DROP DATABASE bare WITH (FORCE)")
    await admin.close()


@pytest.fixture
def dsn(postgres: EmbeddedPostgres, bare: Connection) -> str:
    """Of that database."""
    return _named(postgres.dsn, "bare")


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway as real processes, with the settings of a first start, that the run shares."""
    # A variable of PostgreSQL's, and one that nothing looks at: who is shown it is a test's matter.
    environment = {"PG_COLOR": "never"}
    gateway = Gateway.start(tmp_path_factory.mktemp("gateway"), environment=environment)
    yield gateway
    assert gateway.stop() == 0


@pytest.fixture(scope="session")
async def gateway(running: Gateway) -> AsyncIterator[Gateway]:
    """The same, with a client's connections open."""
    await running.open()
    yield running
    await running.close()


def _named(dsn: str, database: str) -> str:
    changed = dsn.replace("@/paygate?", f"@/{database}?")
    assert changed != dsn
    return changed
