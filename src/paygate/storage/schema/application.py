"""The rights of the role that the application works with: it owns nothing. `migrate` gives them, as
the owner, at every run.

They follow from what the schema refuses: where a trigger refuses every update, every deletion or
both, the role has no right to it either, so that who disables a trigger has won nothing. The one
update that is left everywhere is of `sealed` alone, for records that are sealed under another key.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import asyncpg

from paygate.storage.connections.session import Connect, Connection, hang_up
from paygate.storage.connections.watch import watched
from paygate.storage.schema.versions import MigrationError, with_rights

_EVERYTHING: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")
_FIXED: Final = {
    "installation": ("SELECT", "UPDATE"),
    "merchant": ("SELECT", "INSERT"),
    "keyset": ("SELECT", "UPDATE"),
    "schema_migration": ("SELECT",),
    "audit_head": ("SELECT", "UPDATE"),
    "audit_seal_disowned": ("SELECT",),
    "event": ("SELECT", "INSERT"),
}
"""Of tables whose triggers do not say it."""

_TABLES: Final = """
SELECT c.relname AS name,
       EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'sealed') AS sealed,
       coalesce(bool_or(t.tgtype & 16 <> 0), false) AS keeps,
       coalesce(bool_or(t.tgtype & 8 <> 0), false) AS stays
FROM pg_class c
LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgqual IS NULL
    AND t.tgfoid = to_regproc('refuse_change') AND t.tgtype & 1 = 1
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
  AND NOT c.relispartition AND c.relname !~ '_([0-9]{4}_[0-9]{2}|before|default)$'
  AND pg_has_role(c.relowner, 'MEMBER')
GROUP BY c.oid, c.relname ORDER BY c.relname
"""
"""By table: whether a row of it is never changed, and never deleted; a trigger that refuses some
rows alone says neither. Months that were taken away are nobody's but the owner's."""
_SEQUENCES: Final = """
SELECT c.relname AS name FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'S'
  AND pg_has_role(c.relowner, 'MEMBER')
"""
_GUARDS: Final = r"""
SELECT p.oid::regprocedure::text AS name, p.prosecdef AS lends FROM pg_proc p
WHERE p.pronamespace = current_schema()::regnamespace AND pg_has_role(p.proowner, 'MEMBER')
  AND (p.prosecdef OR (p.prorettype = 'trigger'::regtype
       AND regexp_replace(p.prosrc, 'distinct from', '', 'gi') ~* '\m(from|join|into|update)\M'))
"""
"""Functions that lend whoever calls them the owner's rights, and those of triggers that read a
table."""
_GRANT: Final = "SELECT format($1, VARIADIC $2::text[])"
_BOUND: Final = """
SELECT rolsuper, rolbypassrls, rolcreaterole,
       pg_has_role(rolname, relowner, 'MEMBER') AS is_owner
FROM pg_roles CROSS JOIN pg_class c WHERE rolname = $1 AND c.oid = 'installation'::regclass
"""


class Right(NamedTuple):
    """What a role may do with a table; `sealed`: and update that column."""

    table: str
    rights: Sequence[str]
    sealed: bool


async def role_of(connect: Connect) -> str:
    """The role that a connection is made with, in a database that it can read. Raises what
    connecting raises.
    """
    connection = await connect()
    try:
        with watched(connect, connection)():
            name: str = await connection.fetchval("SELECT current_user")
    finally:
        await hang_up(connection)
    return name


async def make_role(connect: Connect, name: str) -> None:
    """Make a role that may log in, unless it is there: for a server of our own, which lets in who
    can reach its socket.
    """
    connection = await connect()
    try:
        with watched(connect, connection)(), with_rights():
            if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", name):
                statement = await connection.fetchval(_GRANT, "CREATE ROLE %I LOGIN", [name])
                await connection.execute(statement)
    finally:
        await hang_up(connection)


async def grant_rights(connect: Connect, role: str) -> bool:
    """Give a role what the application needs, and take from it all else, as the owner; False when
    the role is the owner itself. No other role may do then what the owner's functions do.

    Raises:
        MigrationError: the role could not be held to it, or we may not give rights.
    """
    connection = await connect()
    try:
        with watched(connect, connection)(), with_rights():
            if await connection.fetchval("SELECT current_user") == role:
                async with connection.transaction():
                    await _bind_guards(connection, role)
                return False
            bound = await connection.fetchrow(_BOUND, role)
            if bound is None:
                raise MigrationError(f"there is no role {role}")
            if any(bound):
                raise MigrationError(
                    f"role {role} of PAYGATE_DATABASE_URL is a superuser, may pass by the schema's"
                    " rules, make roles or act as the tables' owner: name one that may not"
                )
            async with connection.transaction():
                await _grant(connection, role)
    finally:
        await hang_up(connection)
    return True


async def rights(connection: Connection) -> list[Right]:
    """What the application needs, table by table."""
    found = []
    for row in await connection.fetch(_TABLES):
        given = _FIXED.get(row["name"])
        if given is None:
            refused = {"UPDATE": row["keeps"], "DELETE": row["stays"]}
            given = tuple(right for right in _EVERYTHING if not refused.get(right))
        found.append(Right(row["name"], given, row["sealed"] and "UPDATE" not in given))
    return found


async def _grant(connection: Connection, role: str) -> None:
    schema = await connection.fetchval("SELECT current_schema()")

    async def do(statement: str, *names: str) -> None:
        await connection.execute(await connection.fetchval(_GRANT, statement, list(names)))

    await do("REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I", schema, role)
    for table, given, sealed in await rights(connection):
        await do(f"GRANT {', '.join(given)} ON %I.%I TO %I", schema, table, role)
        if sealed:
            await do("GRANT UPDATE (sealed) ON %I.%I TO %I", schema, table, role)
    for row in await connection.fetch(_SEQUENCES):
        await do("GRANT USAGE ON SEQUENCE %I.%I TO %I", schema, row["name"], role)
    await _bind_guards(connection, role)
    await do("GRANT USAGE ON SCHEMA %I TO %I", schema, role)
    await do("REVOKE CREATE ON SCHEMA %I FROM %I", schema, role)
    try:
        async with connection.transaction():
            await do("REVOKE CREATE ON SCHEMA %I FROM PUBLIC", schema)
    except asyncpg.InsufficientPrivilegeError:
        pass  # another's schema: what is left of that, the next lines say
    if await connection.fetchval("SELECT has_schema_privilege($1, $2, 'CREATE')", role, schema):
        raise MigrationError(
            f"role {role} may make functions in schema {schema}: have its owner"
            f" REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC"
        )


async def _bind_guards(connection: Connection, role: str) -> None:
    """Have guards find their tables in our schema, and nobody but the application call those that
    lend the owner's rights. A session's temporary tables come before all others unless they are
    named last: a `customer` of those would tell a trigger that somebody is erased, and a trigger
    on an `installation` of those would run with the owner's rights.
    """
    schema = await connection.fetchval("SELECT current_schema()")
    place = await connection.fetchval(_GRANT, "%I, pg_temp", [schema])
    grantee = await connection.fetchval(_GRANT, "%I", [role])
    for row in await connection.fetch(_GUARDS):
        await connection.execute(f"ALTER FUNCTION {row['name']} SET search_path = {place}")
        if row["lends"]:
            await connection.execute(f"REVOKE EXECUTE ON FUNCTION {row['name']} FROM PUBLIC")
            await connection.execute(f"GRANT EXECUTE ON FUNCTION {row['name']} TO {grantee}")
