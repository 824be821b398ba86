-- name: refund
SELECT {refund} FROM refund WHERE merchant = $1 AND id = $2

-- name: refund_with_intent
SELECT {payment_intent as i}, {refund as r}
FROM refund r JOIN payment_intent i ON i.merchant = r.merchant AND i.id = r.intent
WHERE r.merchant = $1 AND r.id = $2

-- name: refund_by_provider_reference
SELECT {refund} FROM refund WHERE provider_reference_index = $1

-- name: refunds_older
SELECT {refund} FROM refund
WHERE merchant = $1
  AND (created_at, id) < (coalesce((SELECT c.created_at FROM refund c
                                    WHERE c.merchant = $1 AND c.id = $2), 'infinity'), $2)
  AND ($4::text IS NULL OR intent = $4)
  AND ($5::text[] IS NULL OR state = ANY ($5))
ORDER BY created_at DESC, id DESC LIMIT $3

-- name: refunds_newer
SELECT {refund} FROM refund
WHERE merchant = $1
  AND (created_at, id) > (coalesce((SELECT c.created_at FROM refund c
                                    WHERE c.merchant = $1 AND c.id = $2), 'infinity'), $2)
  AND ($4::text IS NULL OR intent = $4)
  AND ($5::text[] IS NULL OR state = ANY ($5))
ORDER BY created_at, id LIMIT $3

-- name: refunds_in_doubt
SELECT {refund} FROM refund
WHERE state IN ('started', 'unknown', 'not_sent') AND last_sent_at < $5
  AND (last_sent_at, merchant, id) > ($1, $2, $3)
ORDER BY last_sent_at, merchant, id LIMIT $4

-- name: refunds_unapproved
SELECT {refund} FROM refund
WHERE state = 'awaiting_approval' AND approval_expires_at <= $5
  AND (approval_expires_at, merchant, id) > ($1, $2, $3)
ORDER BY approval_expires_at, merchant, id LIMIT $4

-- name: refunds_pending
SELECT {refund} FROM refund
WHERE state = 'pending' AND (merchant, id) > ($1, $2)
ORDER BY merchant, id LIMIT $3
