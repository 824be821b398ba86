-- name: idempotency_key
SELECT merchant, id, version, state, holder, lease, created_at, updated_at, sealed,
       GREATEST(extract(epoch FROM leased_until - clock_timestamp()), 0)::float8 AS lease_left
FROM idempotency_key WHERE merchant = $1 AND id = ANY ($2::text[])

-- name: purge_idempotency_keys
DELETE FROM idempotency_key k USING (
    SELECT merchant, id FROM idempotency_key
    WHERE state = 'finished' AND created_at < $1
    LIMIT $2 FOR UPDATE SKIP LOCKED) old
WHERE k.merchant = old.merchant AND k.id = old.id AND k.state = 'finished'
RETURNING k.id

-- name: idempotency_keys_unfinished
SELECT merchant, id, version, state, holder, lease, created_at, updated_at, sealed
FROM idempotency_key WHERE state = 'working' AND created_at < $1 ORDER BY created_at LIMIT $2
