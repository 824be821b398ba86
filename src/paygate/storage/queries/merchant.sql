-- name: merchant
SELECT id, created_at FROM merchant WHERE id = $1

-- name: merchants
SELECT id, created_at FROM merchant ORDER BY created_at, id

-- name: create_merchant
WITH made AS (
    INSERT INTO merchant (id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING id, created_at
), told AS (
    INSERT INTO audit_entry (merchant, id, at, sealed)
    SELECT $2::text, $3::text, $4::timestamptz, $5::bytea FROM made
)
SELECT id, created_at FROM made
