-- name: customer
SELECT merchant, id, version, created_at, updated_at, sealed
FROM customer WHERE merchant = $1 AND id = $2
