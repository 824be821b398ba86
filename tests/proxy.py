"""A network between us and the database's socket, which fails as networks do."""

import asyncio
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

CHUNK_BYTES = 65536


class Proxy:
    """Carries connections to the server of a DSN; `dsn` is the way through it.

    What fails is what stands now: connections made afterwards are carried as before.
    """

    def __init__(self, dsn: str) -> None:
        parts = urlsplit(dsn)
        self._socket = _socket(dsn)
        self._database = f"{parts.username}@127.0.0.1:{{port}}{parts.path}"
        self._flows: list[_Flow] = []
        self._unreachable = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for flow in self._flows:
            await flow.end()

    @property
    def dsn(self) -> str:
        """The same database, over TCP and through this network."""
        port = self._server.sockets[0].getsockname()[1]
        return f"postgresql://{self._database.format(port=port)}?sslmode=disable"

    @property
    def carried(self) -> int:
        """How many connections there ever were."""
        return len(self._flows)

    def cut(self) -> None:
        """We get a reset and the server hears nothing: a firewall forgot the connections."""
        for flow in self._flows:
            flow.mute()
            flow.client.transport.abort()

    def mute(self) -> None:
        """Whatever is sent vanishes, both ways: the host behind the address is gone."""
        for flow in self._flows:
            flow.mute()

    def close_up(self) -> None:
        """Mute, and new connections are taken and never answered, until `open_up`."""
        self.mute()
        self._unreachable = True

    def open_up(self) -> None:
        """New connections are carried again."""
        self._unreachable = False

    def lead_to(self, dsn: str) -> None:
        """New connections go to another server: the address has moved."""
        self._socket = _socket(dsn)

    async def greet(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> bytes:
        """A client's first packet, to be carried on."""
        size = await reader.readexactly(4)
        return size + await reader.readexactly(int.from_bytes(size, "big") - 4)

    async def _carry(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            packet = await self.greet(reader, client)
        except (OSError, asyncio.IncompleteReadError):
            client.close()  # what was said to it, if anything, is sent first
            return
        from_server, server = await asyncio.open_unix_connection(self._socket)
        flow = _Flow(client, server)
        self._flows.append(flow)
        if self._unreachable:
            flow.mute()
        else:
            server.write(packet)
        flow.start(reader, from_server)


class _Flow:
    """One connection: two directions, and whether anything still gets through."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self._muted = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, client: asyncio.StreamReader, server: asyncio.StreamReader) -> None:
        self._tasks = [
            asyncio.create_task(self._pump(client, self.server)),
            asyncio.create_task(self._pump(server, self.client)),
        ]

    def mute(self) -> None:
        self._muted = True

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in (self.client, self.server):
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(CHUNK_BYTES):
                if not self._muted:
                    writer.write(data)
        except OSError:
            pass
        if not self._muted:  # an end, too, gets through or does not
            writer.close()


def _socket(dsn: str) -> str:
    query = parse_qs(urlsplit(dsn).query)
    return f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"
