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
SELECT {settlement_page as p} FROM settlement_page p
WHERE (p.merchant, p.id, p.version) > ($1, $2, $3)
  AND NOT EXISTS (SELECT FROM settlement_withdrawn w
                  WHERE w.merchant = p.merchant AND w.settlement = p.id AND w.page = p.version)
ORDER BY p.merchant, p.id, p.version LIMIT $4
