-- name: attempt
SELECT {attempt} FROM attempt WHERE merchant = $1 AND id = $2

-- name: attempt_with_intent
SELECT {payment_intent as i}, {attempt as a}
FROM attempt a JOIN payment_intent i ON i.merchant = a.merchant AND i.id = a.intent
WHERE a.merchant = $1 AND a.id = $2

-- name: attempts_in_doubt
SELECT {attempt} FROM attempt
WHERE state IN ('started', 'unknown') AND first_sent_at < $5
  AND (first_sent_at, merchant, id) > ($1, $2, $3)
ORDER BY first_sent_at, merchant, id LIMIT $4

-- name: attempts_never_sent
SELECT {attempt as a} FROM merchant m CROSS JOIN LATERAL (
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
SELECT {attempt} FROM attempt
WHERE state IN ('pending', 'action_required') AND close_at <= $5
  AND (close_at, merchant, id) > ($1, $2, $3)
ORDER BY close_at, merchant, id LIMIT $4
