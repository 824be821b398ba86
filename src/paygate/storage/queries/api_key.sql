-- name: api_key
SELECT {api_key} FROM api_key WHERE id = $1

-- name: api_keys_older
SELECT {api_key} FROM api_key WHERE merchant = $1 AND id < $2 ORDER BY id DESC LIMIT $3

-- name: api_keys_newer
SELECT {api_key} FROM api_key WHERE merchant = $1 AND id > $2 ORDER BY id LIMIT $3

-- name: api_key_uses
SELECT key, last_used_at FROM api_key_use WHERE key = ANY($1::text[])

-- name: note_api_key_uses
INSERT INTO api_key_use AS known (key, last_used_at)
SELECT key, at FROM unnest($1::text[], $2::timestamptz[]) AS used (key, at) ORDER BY key
ON CONFLICT (key) DO UPDATE
SET last_used_at = GREATEST(known.last_used_at, excluded.last_used_at)
