-- name: api_key
SELECT merchant, id, version, secret_hash, expires_at, revoked_at, created_at, updated_at, sealed
FROM api_key WHERE id = $1
