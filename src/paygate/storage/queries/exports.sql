-- name: refunds_after
SELECT {refund} FROM refund WHERE (merchant, id) > ($1, $2) ORDER BY merchant, id LIMIT $3

-- name: disputes_after
SELECT {dispute} FROM dispute WHERE (merchant, id) > ($1, $2) ORDER BY merchant, id LIMIT $3

-- name: settlements_after
SELECT {settlement} FROM settlement WHERE (merchant, id) > ($1, $2) ORDER BY merchant, id LIMIT $3

-- name: discrepancies_after
SELECT {discrepancy} FROM discrepancy WHERE (merchant, id) > ($1, $2) ORDER BY merchant, id LIMIT $3

-- name: account_transfers_after
SELECT {account_transfer} FROM account_transfer
WHERE (merchant, id) > ($1, $2) ORDER BY merchant, id LIMIT $3

-- name: settlement_pages_of_all
SELECT {settlement_page} FROM settlement_page
WHERE (merchant, id, version) > ($1, $2, $3) ORDER BY merchant, id, version LIMIT $4
