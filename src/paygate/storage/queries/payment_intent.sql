-- name: payment_intent
SELECT merchant, id, version, status, created_at, updated_at, reference_index, customer, sealed
FROM payment_intent WHERE merchant = $1 AND id = $2

-- name: payment_intents_overdue
SELECT i.merchant, i.id, i.version, i.status, i.created_at, i.updated_at, i.reference_index,
       i.customer, i.sealed
FROM merchant m CROSS JOIN LATERAL (
    SELECT * FROM payment_intent p
    WHERE p.merchant = m.id AND p.status = 'created' AND p.id < $1 AND p.created_at < $2
    ORDER BY p.id LIMIT $3) i
LIMIT $3
