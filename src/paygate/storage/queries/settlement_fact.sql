-- name: payments_found
SELECT {payment_intent by provider_reference_index} FROM payment_intent
WHERE provider_reference_index = ANY ($1)

-- name: refunds_found
SELECT {refund by provider_reference_index} FROM refund WHERE provider_reference_index = ANY ($1)

-- name: disputes_found
SELECT {dispute by provider_reference_index} FROM dispute WHERE provider_reference_index = ANY ($1)

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

-- The sub-selects are asked row by row, so that a page ends with its last row and reads by indexes
-- alone: as a join, every page would read all lines there are.
-- name: payment_intents_unsettled
SELECT {payment_intent as i} FROM merchant m CROSS JOIN LATERAL (
    SELECT * FROM payment_intent p
    WHERE p.merchant = m.id AND p.status IN ('succeeded', 'refunded')
      AND p.id >= $4 AND p.id < $5 AND p.id > CASE WHEN m.id = $1 THEN $2 ELSE '' END
      AND (SELECT true FROM settlement_line l
           WHERE l.merchant = $6 AND l.fact = p.id
             AND (SELECT true FROM settlement_withdrawn w WHERE w.merchant = l.merchant
                    AND w.settlement = l.settlement AND w.page = l.page) IS NULL
           LIMIT 1) IS NULL
      AND (SELECT true FROM settlement_match s
           JOIN settlement_line l ON l.merchant = s.merchant AND l.id = s.id
           WHERE s.merchant = $6 AND s.fact = p.id
             AND (SELECT true FROM settlement_withdrawn w WHERE w.merchant = l.merchant
                    AND w.settlement = l.settlement AND w.page = l.page) IS NULL
           LIMIT 1) IS NULL
    ORDER BY p.id LIMIT $3) i
WHERE m.id >= $1
ORDER BY m.id, i.id LIMIT $3

-- name: refunds_unsettled
SELECT {refund as r} FROM merchant m CROSS JOIN LATERAL (
    SELECT * FROM refund f
    WHERE f.merchant = m.id AND f.state = 'succeeded'
      AND f.created_at >= $5 AND f.created_at < $6
      AND (m.id > $1 OR (f.created_at, f.id) > ($2, $3))
      AND (SELECT true FROM settlement_line l
           WHERE l.merchant = $7 AND l.fact = f.id
             AND (SELECT true FROM settlement_withdrawn w WHERE w.merchant = l.merchant
                    AND w.settlement = l.settlement AND w.page = l.page) IS NULL
           LIMIT 1) IS NULL
      AND (SELECT true FROM settlement_match s
           JOIN settlement_line l ON l.merchant = s.merchant AND l.id = s.id
           WHERE s.merchant = $7 AND s.fact = f.id
             AND (SELECT true FROM settlement_withdrawn w WHERE w.merchant = l.merchant
                    AND w.settlement = l.settlement AND w.page = l.page) IS NULL
           LIMIT 1) IS NULL
    ORDER BY f.created_at, f.id LIMIT $4) r
WHERE m.id >= $1
ORDER BY m.id, r.created_at, r.id LIMIT $4

-- name: disputes_created
SELECT {dispute as d} FROM merchant m CROSS JOIN LATERAL (
    SELECT * FROM dispute c
    WHERE c.merchant = m.id AND c.created_at >= $5 AND c.created_at < $6
      AND (m.id > $1 OR (c.created_at, c.id) > ($2, $3))
    ORDER BY c.created_at, c.id LIMIT $4) d
WHERE m.id >= $1
ORDER BY m.id, d.created_at, d.id LIMIT $4

-- name: facts_of_payment
SELECT f.id FROM merchant m CROSS JOIN LATERAL (
    SELECT id FROM refund r WHERE r.merchant = m.id AND r.intent = $1
    UNION ALL SELECT id FROM dispute d WHERE d.merchant = m.id AND d.intent = $1) f

-- name: first_payment_confirmed
SELECT min(i.created_at) AS first FROM merchant m CROSS JOIN LATERAL (
    SELECT p.created_at FROM payment_intent p
    WHERE p.merchant = m.id AND p.provider_reference_index IS NOT NULL
    ORDER BY p.id LIMIT 1) i
