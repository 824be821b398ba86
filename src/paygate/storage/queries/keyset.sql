-- name: keyrings
SELECT k.purpose, k.wrapped, k.generation, k.created_at, k.proof_hash,
       (SELECT e.key FROM keyset_key e WHERE e.purpose = k.purpose AND e.promoted_at IS NOT NULL
        ORDER BY e.promoted_at DESC LIMIT 1) AS primary_key,
       ARRAY(SELECT e.key FROM keyset_key e WHERE e.purpose = k.purpose) AS known,
       (SELECT max(greatest(e.added_at, e.promoted_at)) FROM keyset_key e
        WHERE e.purpose = k.purpose) AS edited_at
FROM keyset k

-- name: keyset_keys
SELECT purpose, key, added_at, promoted_at, sealed_at, retired_at FROM keyset_key

-- name: retired_keys
SELECT key FROM keyset_key WHERE retired_at IS NOT NULL

-- name: keyset_generation
SELECT sum(generation)::integer FROM keyset

-- name: edit_keyset
UPDATE keyset SET wrapped = $2, generation = generation + 1, proof = $4, proof_hash = $5
WHERE purpose = $1 AND generation = $3
RETURNING created_at

-- name: ask_keyset_proof
UPDATE keyset SET proof_hash = $3 WHERE purpose = $1 AND generation = $2 AND proof_hash IS NULL

-- name: know_keyset_keys
INSERT INTO keyset_key (purpose, key, added_at, promoted_at, sealed_at)
SELECT k.purpose, e.key, k.created_at, p.at, p.at
FROM keyset k CROSS JOIN unnest($2::bigint[]) AS e (key)
CROSS JOIN LATERAL (SELECT CASE WHEN e.key = $3 THEN k.created_at END AS at) p
WHERE k.purpose = $1
ON CONFLICT DO NOTHING

-- name: keyset_key_added
INSERT INTO keyset_key (purpose, key) VALUES ($1, $2)

-- name: keyset_key_promoted
UPDATE keyset_key SET promoted_at = clock_timestamp(), sealed_at = NULL
WHERE purpose = $1 AND key = $2

-- name: keyset_key_retired
UPDATE keyset_key SET retired_at = clock_timestamp() WHERE purpose = $1 AND key = $2

-- name: keyset_key_enabled
UPDATE keyset_key SET retired_at = NULL WHERE purpose = $1 AND key = $2

-- name: keyset_key_sealed
UPDATE keyset_key SET sealed_at = clock_timestamp()
WHERE purpose = $1 AND key = $2 AND sealed_at IS NULL

-- name: keyset_audited
INSERT INTO audit_entry ({audit_entry}) VALUES ({audit_entry from $1})

-- name: keyset_processes
SELECT count(*) FILTER (WHERE l.classid = $1) AS writers,
       count(*) FILTER (WHERE l.classid = $2 AND l.objid::bigint >= $3) AS ready,
       coalesce(bool_or(l.classid = $2 AND l.objid::bigint > $3), false) AS ahead,
       coalesce(array_agg(DISTINCT a.application_name || coalesce(' at ' || host(a.client_addr), '')
           || ', backend ' || a.pid) FILTER (WHERE l.classid = $2 AND l.objid::bigint < $3),
           ARRAY[]::text[]) AS behind
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted
  AND l.database = a.datid AND a.datname = current_database()

-- name: hold_keyset_generation
SELECT pg_advisory_lock_shared($1, $2)

-- name: leave_keyset_generation
SELECT pg_advisory_unlock_shared($1, $2)

-- name: transaction_now
SELECT pg_current_xact_id()::text

-- name: transactions_over
SELECT pg_snapshot_xmin(pg_current_snapshot()) > $1::text::xid8
