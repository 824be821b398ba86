-- name: provider_account
SELECT merchant, id, created_at, sealed
FROM provider_account WHERE merchant = $1 AND id = $2
