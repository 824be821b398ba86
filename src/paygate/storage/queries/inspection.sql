-- What `paygate doctor` asks of the server; a role without rights of its own may ask all of it.

-- name: server_settings
SELECT name, setting FROM pg_settings WHERE name = ANY($1::text[])

-- name: own_role
SELECT rolname AS name, rolsuper AS superuser, rolbypassrls AS bypasses_row_security,
    rolcreaterole AS makes_roles, rolreplication AS replicates,
    EXISTS (
        SELECT FROM pg_class c
        WHERE c.relnamespace = to_regnamespace(current_schema()) AND c.relkind IN ('r', 'p')
            AND pg_has_role(current_user, c.relowner, 'MEMBER')
    ) AS owns_tables
FROM pg_roles WHERE rolname = current_user

-- name: server_time
SELECT clock_timestamp()

-- name: archiver
SELECT last_archived_time, last_failed_time FROM pg_stat_archiver

-- name: replication_slots
SELECT slot_name::text AS name, active, coalesce(wal_status, '') AS wal_status
FROM pg_replication_slots ORDER BY slot_name

-- name: standbys
SELECT count(*) FROM pg_stat_replication

-- name: own_sessions
SELECT application_name AS name, coalesce(host(client_addr), '') AS address FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name LIKE 'paygate %'
