-- name: settlement
SELECT {settlement} FROM settlement WHERE merchant = $1 AND id = $2

-- name: settlement_by_provider_reference
SELECT {settlement} FROM settlement WHERE provider_reference_index = $1

-- name: settlements_older
SELECT {settlement} FROM settlement
WHERE merchant = $1 AND id < $2
  AND ($4::text IS NULL OR status = $4)
  AND ($5::text IS NULL OR matching = $5)
ORDER BY id DESC LIMIT $3

-- name: settlements_newer
SELECT {settlement} FROM settlement
WHERE merchant = $1 AND id > $2
  AND ($4::text IS NULL OR status = $4)
  AND ($5::text IS NULL OR matching = $5)
ORDER BY id LIMIT $3

-- name: settlements_open
SELECT {settlement} FROM settlement
WHERE is_open AND (merchant, id) > ($1, $2)
ORDER BY merchant, id LIMIT $3

-- name: settlement_match
SELECT {settlement_match} FROM settlement_match WHERE merchant = $1 AND id = $2

-- name: settlement_matches_of_lines
SELECT {settlement_match} FROM settlement_match WHERE merchant = $1 AND id = ANY ($2)

-- name: settlement_matches_of
SELECT {settlement_match} FROM settlement_match
WHERE merchant = $1 AND settlement = $4 AND id > $2
ORDER BY id LIMIT $3

-- name: account_transfers_of_settlement
SELECT {account_transfer} FROM account_transfer WHERE settlement = $1 ORDER BY merchant, id

-- name: discrepancy
SELECT {discrepancy} FROM discrepancy WHERE merchant = $1 AND id = $2

-- name: discrepancies_older
SELECT {discrepancy} FROM discrepancy
WHERE merchant = $1
  AND (created_at, id) < (coalesce((SELECT c.created_at FROM discrepancy c
                                    WHERE c.merchant = $1 AND c.id = $2), 'infinity'), $2)
  AND ($4::text IS NULL OR kind = $4)
  AND ($5::text IS NULL OR status = $5)
  AND ($6::text IS NULL OR settlement = $6)
  AND ($7::text IS NULL OR payment_intent = $7)
ORDER BY created_at DESC, id DESC LIMIT $3

-- name: discrepancies_newer
SELECT {discrepancy} FROM discrepancy
WHERE merchant = $1
  AND (created_at, id) > (coalesce((SELECT c.created_at FROM discrepancy c
                                    WHERE c.merchant = $1 AND c.id = $2), 'infinity'), $2)
  AND ($4::text IS NULL OR kind = $4)
  AND ($5::text IS NULL OR status = $5)
  AND ($6::text IS NULL OR settlement = $6)
  AND ($7::text IS NULL OR payment_intent = $7)
ORDER BY created_at, id LIMIT $3

-- name: discrepancies_open
SELECT {discrepancy} FROM discrepancy
WHERE status = 'open' AND (merchant, created_at, id) > ($2, $1, $3)
ORDER BY merchant, created_at, id LIMIT $4

-- name: discrepancies_of_settlement
SELECT {discrepancy} FROM discrepancy
WHERE merchant = $4 AND settlement = $5 AND (created_at, id) > ($1, $2)
ORDER BY created_at, id LIMIT $3

-- name: discrepancies_counted
SELECT status, count(*) AS found FROM discrepancy
WHERE merchant = $1 AND settlement = $2 GROUP BY status
