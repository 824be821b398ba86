-- name: dispute
SELECT {dispute} FROM dispute WHERE merchant = $1 AND id = $2

-- name: dispute_with_intent
SELECT {payment_intent as i}, {dispute as d}
FROM dispute d JOIN payment_intent i ON i.merchant = d.merchant AND i.id = d.intent
WHERE d.merchant = $1 AND d.id = $2

-- name: dispute_by_provider_reference
SELECT {dispute} FROM dispute WHERE provider_reference_index = $1

-- name: disputes_older
SELECT {dispute} FROM dispute
WHERE merchant = $1
  AND (created_at, id) < (coalesce((SELECT c.created_at FROM dispute c
                                    WHERE c.merchant = $1 AND c.id = $2), 'infinity'), $2)
  AND ($4::text IS NULL OR intent = $4)
  AND ($5::text IS NULL OR status = $5)
ORDER BY created_at DESC, id DESC LIMIT $3

-- name: disputes_newer
SELECT {dispute} FROM dispute
WHERE merchant = $1
  AND (created_at, id) > (coalesce((SELECT c.created_at FROM dispute c
                                    WHERE c.merchant = $1 AND c.id = $2), 'infinity'), $2)
  AND ($4::text IS NULL OR intent = $4)
  AND ($5::text IS NULL OR status = $5)
ORDER BY created_at, id LIMIT $3

-- name: disputes_watched
SELECT {dispute} FROM dispute
WHERE is_watched AND (merchant, id) > ($1, $2)
ORDER BY merchant, id LIMIT $3

-- name: disputes_awaiting_evidence
SELECT {dispute} FROM dispute
WHERE answer_due_at <= $5 AND (answer_due_at, merchant, id) > ($1, $2, $3)
ORDER BY answer_due_at, merchant, id LIMIT $4

-- name: disputes_pending
SELECT {dispute} FROM dispute
WHERE pending_operation IS NOT NULL AND updated_at < $5
  AND (updated_at, merchant, id) > ($1, $2, $3)
ORDER BY updated_at, merchant, id LIMIT $4
