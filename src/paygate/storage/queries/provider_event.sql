-- name: provider_event
SELECT {provider_event} FROM provider_event WHERE merchant = $1 AND id = $2

-- name: provider_event_body
SELECT {provider_event_body} FROM provider_event_body
WHERE merchant = $1 AND id = $2 AND received_at = $3  -- its month alone is looked into

-- name: provider_event_by_provider_reference
SELECT {provider_event} FROM provider_event WHERE merchant = $1 AND reference_index = ANY ($2)

-- name: provider_events_known
SELECT reference_index FROM provider_event WHERE merchant = $1 AND reference_index = ANY ($2)

-- name: provider_events_waiting
SELECT merchant, id, updated_at
FROM provider_event
WHERE status = 'received' AND updated_at < $1 AND (updated_at, merchant, id) > ($2, $3, $4)
ORDER BY updated_at, merchant, id LIMIT $5

-- name: provider_events_parked
SELECT merchant, id, updated_at
FROM provider_event
WHERE status = 'parked' AND updated_at < $1 AND (updated_at, merchant, id) > ($2, $3, $4)
ORDER BY updated_at, merchant, id LIMIT $5

-- name: provider_events_replayable
SELECT merchant, id, updated_at
FROM provider_event
WHERE replay_until IS NOT NULL AND updated_at < $1 AND (updated_at, merchant, id) > ($2, $3, $4)
ORDER BY updated_at, merchant, id LIMIT $5

-- name: types_without_handler
SELECT kind FROM unnest($1::bytea[]) AS kind
WHERE EXISTS (
    SELECT FROM provider_event
    WHERE status = 'ignored' AND verdict = 'no_handler' AND type_index = kind AND updated_at >= $2)

-- name: provider_events_without_handler
SELECT merchant, id, updated_at
FROM provider_event
WHERE status = 'ignored' AND verdict = 'no_handler' AND type_index = $5
  AND received_at >= $6 AND updated_at >= $6  -- the second bounds the scan
  AND updated_at < $1 AND (updated_at, merchant, id) > ($2, $3, $4)
ORDER BY updated_at, merchant, id LIMIT $7

-- name: provider_events_older
SELECT {provider_event} FROM provider_event
WHERE merchant = $1 AND id < $2 AND id >= $4 AND id < $5
  AND ($6::text IS NULL OR status = $6)
  AND ($7::bytea[] IS NULL OR type_index = ANY ($7))
  AND ($8::text IS NULL OR subject = $8)
  AND ($9::timestamptz IS NULL OR received_at > $9)
  AND ($10::timestamptz IS NULL OR received_at < $10)
  AND ($11::timestamptz IS NULL OR provider_created_at > $11)
  AND ($12::timestamptz IS NULL OR provider_created_at < $12)
  AND ($13::text IS NULL OR verdict = $13)
ORDER BY id DESC LIMIT $3

-- name: provider_events_newer
SELECT {provider_event} FROM provider_event
WHERE merchant = $1 AND id > $2 AND id >= $4 AND id < $5
  AND ($6::text IS NULL OR status = $6)
  AND ($7::bytea[] IS NULL OR type_index = ANY ($7))
  AND ($8::text IS NULL OR subject = $8)
  AND ($9::timestamptz IS NULL OR received_at > $9)
  AND ($10::timestamptz IS NULL OR received_at < $10)
  AND ($11::timestamptz IS NULL OR provider_created_at > $11)
  AND ($12::timestamptz IS NULL OR provider_created_at < $12)
  AND ($13::text IS NULL OR verdict = $13)
ORDER BY id LIMIT $3
