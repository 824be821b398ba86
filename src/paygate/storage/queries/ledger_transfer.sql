-- name: ledger_transfers
SELECT merchant, id, intent, money_seq, posted_at, sealed
FROM ledger_transfer WHERE (merchant, id) > ($1, $2) ORDER BY merchant, id LIMIT $3

-- name: ledger_transfer
SELECT merchant, id, intent, money_seq, posted_at, sealed
FROM ledger_transfer WHERE merchant = $1 AND id = $2
