-- name: attempt
SELECT merchant, id, version, intent, number, operation, state, first_sent_at, updated_at, close_at,
       sealed
FROM attempt WHERE merchant = $1 AND id = $2

-- name: attempt_with_intent
SELECT i.merchant, i.id, i.version, i.status, i.created_at, i.updated_at, i.reference_index,
       i.customer, i.money_seq, i.provider_reference_index, i.create_key, i.sealed, a.merchant, a.id, a.version, a.intent, a.number, a.operation, a.state, a.first_sent_at,
       a.updated_at, a.close_at, a.sealed
FROM attempt a JOIN payment_intent i ON i.merchant = a.merchant AND i.id = a.intent
WHERE a.merchant = $1 AND a.id = $2

-- name: attempts_in_doubt
SELECT merchant, id, version, intent, number, operation, state, first_sent_at, updated_at, close_at,
       sealed
FROM attempt
WHERE state IN ('started', 'unknown') AND first_sent_at < $5
  AND (first_sent_at, merchant, id) > ($1, $2, $3)
ORDER BY first_sent_at, merchant, id LIMIT $4

-- name: attempts_never_sent
SELECT a.merchant, a.id, a.version, a.intent, a.number, a.operation, a.state, a.first_sent_at,
       a.updated_at, a.close_at, a.sealed
FROM merchant m CROSS JOIN LATERAL (
    SELECT * FROM payment_intent p
    WHERE p.merchant = m.id AND p.status = 'processing' AND p.updated_at < $4
      AND p.id > CASE WHEN m.id = $1 THEN $2 ELSE '' END
    ORDER BY p.id OFFSET 0) i  -- merchant by merchant, whatever the statistics are
CROSS JOIN LATERAL (
    SELECT * FROM attempt t WHERE t.merchant = i.merchant AND t.intent = i.id
    ORDER BY t.number DESC LIMIT 1) a
WHERE m.id >= $1 AND a.state = 'not_sent' AND a.operation = 'confirm'
ORDER BY m.id, i.id LIMIT $3

-- name: attempts_to_close
SELECT merchant, id, version, intent, number, operation, state, first_sent_at, updated_at, close_at,
       sealed
FROM attempt
WHERE state IN ('pending', 'action_required') AND close_at <= $5
  AND (close_at, merchant, id) > ($1, $2, $3)
ORDER BY close_at, merchant, id LIMIT $4
