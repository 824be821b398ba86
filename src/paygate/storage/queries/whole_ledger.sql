-- name: ledger_transfers_between
SELECT {ledger_transfer} FROM ledger_transfer
WHERE (merchant, intent) > ($1, $2)
  AND ($3::text IS NULL OR (merchant, intent) <= ($3, $4::text))
ORDER BY merchant, intent, money_seq

-- name: ledger_transfers_of
SELECT {ledger_transfer} FROM ledger_transfer WHERE merchant = $1 AND intent = $2 ORDER BY money_seq

-- name: ledger_attempts_between
SELECT {attempt} FROM attempt
WHERE (merchant, intent) > ($1, $2)
  AND ($3::text IS NULL OR (merchant, intent) <= ($3, $4::text))
ORDER BY merchant, intent, number

-- name: ledger_attempts_of
SELECT {attempt} FROM attempt WHERE merchant = $1 AND intent = $2 ORDER BY number

-- name: installed_at
SELECT min(created_at) FROM installation

-- name: make_recorded
CREATE TEMP TABLE recorded (
    reference_index bytea,
    merchant        text,
    intent          text,
    agrees_as       bytea NOT NULL,
    paid_by         boolean NOT NULL,
    expected        boolean NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    PRIMARY KEY (reference_index, merchant, intent)
)

-- name: make_listed
CREATE TEMP TABLE listed (reference_index bytea PRIMARY KEY)

-- name: recorded_under
SELECT reference_index, merchant, intent, agrees_as, paid_by, expected, created_at, updated_at
FROM pg_temp.recorded WHERE reference_index = ANY ($1::bytea[])

-- name: note_listed
INSERT INTO pg_temp.listed SELECT unnest($1::bytea[]) ON CONFLICT DO NOTHING

-- name: recorded_not_listed
SELECT reference_index, merchant, intent, agrees_as, paid_by, expected, created_at, updated_at
FROM pg_temp.recorded r
WHERE expected AND (reference_index, merchant, intent) > ($1, $2, $3)
  AND NOT EXISTS (SELECT FROM pg_temp.listed l WHERE l.reference_index = r.reference_index)
ORDER BY reference_index, merchant, intent LIMIT $4
