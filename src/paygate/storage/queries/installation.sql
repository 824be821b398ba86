-- name: installation
SELECT id, livemode FROM installation

-- name: has_installation
SELECT to_regclass('installation') IS NOT NULL AS made

-- name: has_records
SELECT EXISTS (SELECT FROM audit_entry) OR EXISTS (SELECT FROM keyset) AS made

-- name: install
INSERT INTO installation (id, livemode) VALUES ($1, $2) ON CONFLICT DO NOTHING

-- name: keysets
SELECT purpose, wrapped FROM keyset

-- name: add_keyset
INSERT INTO keyset (purpose, wrapped) VALUES ($1, $2) ON CONFLICT DO NOTHING

-- name: add_merchant
INSERT INTO merchant (id) VALUES ($1) ON CONFLICT DO NOTHING

-- name: ready
SELECT lowest_writer()
