-- name: refunds_by_provider_references
SELECT {refund} FROM refund WHERE provider_reference_index = ANY ($1)

-- name: disputes_by_provider_references
SELECT {dispute} FROM dispute WHERE provider_reference_index = ANY ($1)

-- name: payment_intents_by_ids
SELECT {payment_intent as i} FROM unnest($1::text[], $2::text[]) AS wanted (merchant, id)
CROSS JOIN LATERAL (
    SELECT * FROM payment_intent p WHERE p.merchant = wanted.merchant AND p.id = wanted.id OFFSET 0) i

-- name: refunds_by_ids
SELECT {refund as r} FROM unnest($1::text[], $2::text[]) AS wanted (merchant, id)
CROSS JOIN LATERAL (
    SELECT * FROM refund f WHERE f.merchant = wanted.merchant AND f.id = wanted.id OFFSET 0) r

-- name: disputes_by_ids
SELECT {dispute as d} FROM unnest($1::text[], $2::text[]) AS wanted (merchant, id)
CROSS JOIN LATERAL (
    SELECT * FROM dispute c WHERE c.merchant = wanted.merchant AND c.id = wanted.id OFFSET 0) d

-- name: attempts_by_ids
SELECT {attempt as a} FROM unnest($1::text[], $2::text[]) AS wanted (merchant, id)
CROSS JOIN LATERAL (
    SELECT * FROM attempt t WHERE t.merchant = wanted.merchant AND t.id = wanted.id OFFSET 0) a

-- name: payment_intents_unsettled
SELECT {payment_intent as i} FROM merchant m CROSS JOIN LATERAL (
    SELECT * FROM payment_intent p
    WHERE p.merchant = m.id AND p.status IN ('succeeded', 'refunded')
      AND p.id >= $4 AND p.id < $5 AND p.id > CASE WHEN m.id = $1 THEN $2 ELSE '' END
      AND NOT EXISTS (SELECT FROM settlement_line l WHERE l.merchant = $6 AND l.fact = p.id)
      AND NOT EXISTS (SELECT FROM settlement_match s WHERE s.merchant = $6 AND s.fact = p.id)
    ORDER BY p.id LIMIT $3) i
WHERE m.id >= $1
ORDER BY m.id, i.id LIMIT $3

-- name: refunds_unsettled
SELECT {refund as r} FROM merchant m CROSS JOIN LATERAL (
    SELECT * FROM refund f
    WHERE f.merchant = m.id AND f.state = 'succeeded'
      AND f.id >= $4 AND f.id < $5 AND f.id > CASE WHEN m.id = $1 THEN $2 ELSE '' END
      AND NOT EXISTS (SELECT FROM settlement_line l WHERE l.merchant = $6 AND l.fact = f.id)
      AND NOT EXISTS (SELECT FROM settlement_match s WHERE s.merchant = $6 AND s.fact = f.id)
    ORDER BY f.id LIMIT $3) r
WHERE m.id >= $1
ORDER BY m.id, r.id LIMIT $3
