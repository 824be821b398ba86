-- name: provider_event
SELECT merchant, id, version, status, reference_index, received_at, updated_at, sealed
FROM provider_event WHERE merchant = $1 AND id = $2
