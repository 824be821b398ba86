-- name: provider_event
SELECT {provider_event} FROM provider_event WHERE merchant = $1 AND id = $2

-- name: provider_event_body
SELECT {provider_event_body} FROM provider_event_body
WHERE merchant = $1 AND id = $2 AND received_at = $3  -- its month alone is looked into

-- name: provider_event_by_provider_reference
SELECT {provider_event} FROM provider_event WHERE merchant = $1 AND reference_index = ANY ($2)

-- name: provider_events_waiting
SELECT merchant, id, updated_at
FROM provider_event
WHERE status = 'received' AND updated_at < $1 AND (updated_at, merchant, id) > ($2, $3, $4)
ORDER BY updated_at, merchant, id LIMIT $5
