-- name: payment_intent
SELECT {payment_intent} FROM payment_intent WHERE merchant = $1 AND id = $2

-- name: payment_intent_by_provider_reference
SELECT {payment_intent} FROM payment_intent WHERE provider_reference_index = $1

-- name: payment_intent_by_reference
SELECT {payment_intent} FROM payment_intent
WHERE merchant = $1 AND reference_index = ANY ($2::bytea[]) AND status <> ALL ($3::text[]) AND id <> $4
ORDER BY status = 'succeeded' DESC, id DESC LIMIT 1

-- name: payment_intents_older
SELECT {payment_intent} FROM payment_intent
WHERE merchant = $1 AND id < $2 AND id >= $4 AND id < $5
  AND ($6::text IS NULL OR status = $6)
  AND ($7::bytea[] IS NULL OR reference_index = ANY ($7))
  AND ($8::text IS NULL OR customer = $8)
  AND ($9::timestamptz IS NULL OR created_at > $9)
  AND ($10::timestamptz IS NULL OR created_at < $10)
ORDER BY id DESC LIMIT $3

-- name: payment_intents_newer
SELECT {payment_intent} FROM payment_intent
WHERE merchant = $1 AND id > $2 AND id >= $4 AND id < $5
  AND ($6::text IS NULL OR status = $6)
  AND ($7::bytea[] IS NULL OR reference_index = ANY ($7))
  AND ($8::text IS NULL OR customer = $8)
  AND ($9::timestamptz IS NULL OR created_at > $9)
  AND ($10::timestamptz IS NULL OR created_at < $10)
ORDER BY id LIMIT $3

-- name: payment_intents_overdue
SELECT {payment_intent}
FROM ((  -- the merchant where the last page ended, and those after it: two bounds at once on an id
         -- that is not known to the planner would be taken for next to nothing, and all be sorted
    SELECT * FROM payment_intent p
    WHERE p.merchant = $1 AND p.status = 'created' AND p.id > $2 AND p.id < $4
      AND p.created_at < $5
    ORDER BY p.id LIMIT $3
) UNION ALL (
    SELECT i.* FROM merchant m CROSS JOIN LATERAL (
        SELECT * FROM payment_intent p
        WHERE p.merchant = m.id AND p.status = 'created' AND p.id < $4 AND p.created_at < $5
        ORDER BY p.id LIMIT $3) i
    WHERE m.id > $1 ORDER BY m.id, i.id LIMIT $3
)) i
ORDER BY merchant, id LIMIT $3

-- name: payment_intents_after
SELECT {payment_intent}
FROM payment_intent WHERE (merchant, id) > ($1, $2) ORDER BY merchant, id LIMIT $3

-- name: payment_intents_held
SELECT {payment_intent as i} FROM merchant m CROSS JOIN LATERAL (
    SELECT * FROM payment_intent p
    WHERE p.merchant = m.id AND p.status = 'requires_capture'
      AND p.id > CASE WHEN m.id = $1 THEN $2 ELSE '' END
    ORDER BY p.id LIMIT $3) i
WHERE m.id >= $1
ORDER BY m.id, i.id LIMIT $3
