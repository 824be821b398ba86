-- name: idempotency_key_standing
SELECT {idempotency_key as k},
       GREATEST(extract(epoch FROM k.leased_until - clock_timestamp()), 0)::float8 AS lease_left,
       CASE WHEN k.id IS NULL THEN (
           SELECT count(*) FROM payment_intent p
           WHERE p.merchant = $1 AND p.create_key = decode($2, 'hex')) END AS earlier
FROM (VALUES (1)) AS always (one)  -- a row of a key that is not there as well
LEFT JOIN idempotency_key k ON k.merchant = $1 AND k.id = $2

-- name: database_time
SELECT clock_timestamp() AS now

-- name: purge_idempotency_keys
DELETE FROM idempotency_key k USING (
    SELECT merchant, id FROM idempotency_key
    WHERE state = 'finished' AND created_at < $1
    LIMIT $2 FOR UPDATE SKIP LOCKED) old
WHERE k.merchant = old.merchant AND k.id = old.id AND k.state = 'finished'
RETURNING k.id

-- name: idempotency_keys_unfinished
SELECT {idempotency_key} FROM idempotency_key
WHERE state = 'working' AND created_at < $5 AND (created_at, merchant, id) > ($1, $2, $3)
ORDER BY created_at, merchant, id LIMIT $4

-- name: idempotency_key
SELECT {idempotency_key} FROM idempotency_key WHERE merchant = $1 AND id = $2
