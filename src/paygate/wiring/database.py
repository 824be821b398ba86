"""How a process connects to its database."""

from paygate.settings import Settings
from paygate.storage.connections.database import connector
from paygate.storage.connections.reach import reaching
from paygate.storage.connections.session import Connect


def connect(settings: Settings, *, name: str) -> Connect:
    """How this process connects to its database."""
    return connector(settings.require("database_url"), name=f"paygate {name}")


def reach(settings: Settings, *, name: str, owner: bool = False) -> Connect:
    """How a process makes its first connection: a fault is told as one to whoever started it.
    `owner`: with the rights of the tables' owner, where that is another role.
    """
    dsn = settings.require("database_url")
    if owner and settings.owner_database_url is not None:
        dsn = settings.owner_database_url
    return reaching(connector(dsn, name=f"paygate {name}"), dsn)
