-- name: server
SELECT (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
       left(pg_walfile_name(pg_current_wal_lsn()), 8) AS timeline

-- name: server_before
SELECT system_identifier, timeline FROM installation FOR UPDATE

-- name: remember_server
UPDATE installation SET system_identifier = $1, timeline = $2

-- name: add_restore
INSERT INTO database_restore (noticed_at, taken_at, cause)
SELECT $1, least($1, max(newest.at)), $2
FROM merchant m LEFT JOIN LATERAL (
    SELECT a.at FROM audit_entry a WHERE a.merchant = m.id ORDER BY a.id DESC LIMIT 1) newest ON true
RETURNING taken_at

-- name: declare_restore
INSERT INTO database_restore (noticed_at, taken_at, cause)
SELECT $1, least($1, coalesce($2, max(newest.at))), 'declared'
FROM merchant m LEFT JOIN LATERAL (
    SELECT a.at FROM audit_entry a
    WHERE a.merchant = m.id AND (
        a.at < pg_postmaster_start_time()
        OR pg_postmaster_start_time() < clock_timestamp() - interval '1 day')
    ORDER BY a.id DESC LIMIT 1) newest ON true
RETURNING taken_at

-- name: restores
SELECT noticed_at, taken_at FROM database_restore ORDER BY noticed_at DESC
