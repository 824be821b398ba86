-- name: provider_event
SELECT {provider_event} FROM provider_event WHERE merchant = $1 AND id = $2

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
