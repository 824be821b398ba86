-- name: ledger_transfers
SELECT {ledger_transfer}
FROM ledger_transfer WHERE (merchant, id) > ($1, $2) ORDER BY merchant, id LIMIT $3

-- name: ledger_transfer
SELECT {ledger_transfer} FROM ledger_transfer WHERE merchant = $1 AND id = $2
