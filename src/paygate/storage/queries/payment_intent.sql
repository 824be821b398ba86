-- name: payment_intent
SELECT merchant, id, version, status, created_at, updated_at, sealed
FROM payment_intent WHERE merchant = $1 AND id = $2
