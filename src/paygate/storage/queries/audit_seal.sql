-- name: audit_head
SELECT number, hash, checkpoint, verified, created_at, leased_until > clock_timestamp() AS leased, run,
       turn, proof_hash, written_in > pg_snapshot_xmax(pg_current_snapshot()) AS is_of_another_server
FROM audit_head

-- name: audit_entries_to_seal
SELECT h.number AS head_number, h.hash AS head_hash, h.turn, h.proof_hash, e.written_in, {audit_entry as e}
FROM audit_head h CROSS JOIN LATERAL (
    SELECT e.written_in, {audit_entry as e} FROM audit_entry e
    WHERE (e.written_in, e.id) > (h.written_in, h.entry)
      AND e.written_in < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY e.written_in, e.id LIMIT $1) e
WHERE h.run = $2 OR h.leased_until IS NULL OR h.leased_until < clock_timestamp()
ORDER BY e.written_in, e.id

-- name: audit_entries_astray
SELECT written_in, {audit_entry as e} FROM audit_entry e
WHERE NOT EXISTS (SELECT FROM audit_seal s WHERE s.merchant = e.merchant AND s.entry = e.id)
  AND (e.written_in < pg_snapshot_xmin(pg_current_snapshot())
       OR e.written_in > pg_snapshot_xmax(pg_current_snapshot()))
ORDER BY e.written_in, e.id LIMIT $1 OFFSET $2

-- name: audit_restores_to_seal
SELECT {audit_entry as e} FROM audit_entry e
WHERE e.merchant = $1 AND e.action = $2 AND e.id < $3
  AND NOT EXISTS (SELECT FROM audit_seal s WHERE s.merchant = e.merchant AND s.entry = e.id)
ORDER BY e.id DESC LIMIT $4

-- name: audit_entries_sealed
SELECT entry FROM audit_seal
WHERE (merchant, entry) IN (SELECT * FROM unnest($1::text[], $2::text[]))

-- name: seal_audit_entries
WITH moved AS (
    UPDATE audit_head SET number = $3, hash = $4, run = $7, leased_until = clock_timestamp() + $8,
        written_in = coalesce($5::xid8, written_in), entry = coalesce($6, entry),
        turn = turn + 1, proof = $18, proof_hash = $19
    WHERE number = $1 AND hash = $2 AND turn = $17
    RETURNING number
), sealed AS (
    INSERT INTO audit_seal (number, merchant, entry, at, key, format, leaf, hash, signature)
    SELECT $3 - cardinality($12) + place, r.merchant, r.entry, r.at, $9::bigint, $10::smallint, r.leaf, r.hash,
           CASE WHEN place = cardinality($12) THEN $11::bytea END
    FROM unnest($12::text[], $13::text[], $14::timestamptz[], $15::bytea[], $16::bytea[])
         WITH ORDINALITY AS r(merchant, entry, at, leaf, hash, place)
    WHERE EXISTS (SELECT FROM moved)
)
SELECT count(*) AS moved FROM moved

-- name: begin_audit_order_anew
UPDATE audit_head SET written_in = pg_snapshot_xmin(pg_current_snapshot()), entry = '',
    turn = turn + 1, proof = $2, proof_hash = $3
WHERE turn = $1 AND written_in > pg_snapshot_xmax(pg_current_snapshot())

-- name: audit_seal_last
SELECT number, merchant, entry, at, key, format, leaf, hash, signature FROM audit_seal
ORDER BY number DESC LIMIT 1

-- name: audit_seals_signed
SELECT number, merchant, entry, at, key, format, leaf, hash, signature FROM audit_seal
WHERE number BETWEEN $1 AND $2 AND signature IS NOT NULL ORDER BY number DESC LIMIT $3

-- name: audit_seals_from
SELECT number, merchant, entry, at, key, format, leaf, hash, signature FROM audit_seal
WHERE number >= $1 ORDER BY number LIMIT $2

-- name: audit_seals_of
SELECT entry, number, hash FROM audit_seal WHERE merchant = $1 AND entry = ANY ($2::text[])

-- name: audit_seals_and_entries
SELECT s.number, s.merchant, s.entry, s.at, s.key, s.format, s.leaf, s.hash, s.signature,
       {audit_entry as e}
FROM (SELECT * FROM audit_seal WHERE number >= $1 ORDER BY number LIMIT $2) s
LEFT JOIN audit_entry e ON e.merchant = s.merchant AND e.id = s.entry AND e.at = s.at
ORDER BY s.number

-- name: audit_entry_stored
SELECT {audit_entry as e} FROM audit_entry e WHERE e.merchant = $1 AND e.id = $2 AND e.at = $3

-- name: audit_entries_of_action
SELECT {audit_entry as e} FROM audit_entry e
WHERE e.merchant = $1 AND e.action = $2 ORDER BY e.id

-- name: audit_entries_unsealed
SELECT e.merchant, e.id FROM audit_head h CROSS JOIN audit_entry e
WHERE e.id >= $1
  -- Behind a dump of another server the order says nothing, until the sealer begins it anew.
  AND h.written_in <= pg_snapshot_xmax(pg_current_snapshot())
  AND ((e.written_in, e.id) <= (h.written_in, h.entry)
       OR e.written_in > pg_snapshot_xmax(pg_current_snapshot()))
  AND NOT EXISTS (
    SELECT FROM audit_seal s WHERE s.merchant = e.merchant AND s.entry = e.id AND s.at = e.at)
LIMIT 20

-- name: ask_audit_head_proof
UPDATE audit_head SET proof_hash = $2 WHERE turn = $1 AND proof_hash IS NULL

-- name: take_audit_turn
SELECT turn, proof_hash FROM audit_head FOR UPDATE

-- name: keep_audit_checkpoint
UPDATE audit_head SET checkpoint = $4, turn = turn + 1, proof = $2, proof_hash = $3 WHERE turn = $1

-- name: keep_audit_verified
UPDATE audit_head SET verified = $4, turn = turn + 1, proof = $2, proof_hash = $3 WHERE turn = $1

-- name: audit_lag
SELECT extract(epoch FROM clock_timestamp() - min(oldest.at))::float8 AS seconds
FROM audit_head h CROSS JOIN LATERAL (
    SELECT e.at FROM audit_entry e
    WHERE (e.written_in, e.id) > (h.written_in, h.entry)
    ORDER BY e.written_in, e.id LIMIT 1) oldest

-- name: audit_months
SELECT place::text AS place, ends FROM months_of('audit_entry') WHERE ends IS NOT NULL ORDER BY ends

-- name: audit_sealed_before
SELECT max(number) AS last FROM audit_seal WHERE at < $1

-- name: audit_unsealed_before
SELECT count(*) AS unsealed FROM audit_entry e
WHERE e.at < $1 AND NOT EXISTS (
    SELECT FROM audit_seal s WHERE s.merchant = e.merchant AND s.entry = e.id AND s.at = e.at)

-- name: role_is_bound
SELECT NOT (r.rolsuper OR r.rolbypassrls OR pg_has_role(r.oid, c.relowner, 'MEMBER')) AS bound
FROM pg_roles r CROSS JOIN pg_class c
WHERE r.rolname = current_user AND c.oid = 'audit_entry'::regclass
