-- name: merchant
SELECT id, created_at FROM merchant WHERE id = $1

-- name: merchants
SELECT id, created_at FROM merchant ORDER BY created_at, id

-- name: create_merchant
WITH made AS (
    INSERT INTO merchant (id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING id, created_at
), told AS (
    INSERT INTO audit_entry ({audit_entry}) SELECT {audit_entry from $2} FROM made
)
SELECT id, created_at FROM made
