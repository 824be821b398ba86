-- name: attempt
SELECT merchant, id, version, intent, number, operation, state, first_sent_at, updated_at, sealed
FROM attempt WHERE merchant = $1 AND id = $2

-- name: attempt_with_intent
SELECT i.merchant, i.id, i.version, i.status, i.created_at, i.updated_at, i.reference_index,
       i.customer, i.sealed, a.merchant, a.id, a.version, a.intent, a.number, a.operation, a.state, a.first_sent_at,
       a.updated_at, a.sealed
FROM attempt a JOIN payment_intent i ON i.merchant = a.merchant AND i.id = a.intent
WHERE a.merchant = $1 AND a.id = $2
