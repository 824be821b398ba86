-- name: attempt
SELECT merchant, id, version, intent, number, operation, state, first_sent_at, updated_at, sealed
FROM attempt WHERE merchant = $1 AND id = $2
