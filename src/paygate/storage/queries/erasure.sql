-- name: open_of_customer
(SELECT 'payment_intent' AS object, id FROM payment_intent
 WHERE merchant = $1 AND customer = $2 AND status <> ALL ($4::text[])
 ORDER BY id LIMIT $3)
UNION ALL (
 SELECT 'refund', r.id FROM payment_intent p
 JOIN refund r ON r.merchant = p.merchant AND r.intent = p.id
 WHERE p.merchant = $1 AND p.customer = $2 AND r.state <> ALL ($5::text[])
 ORDER BY r.id LIMIT $3)
UNION ALL (
 SELECT 'dispute', d.id FROM payment_intent p
 JOIN dispute d ON d.merchant = p.merchant AND d.intent = p.id
 WHERE p.merchant = $1 AND p.customer = $2
   AND (d.status = ANY ($6::text[]) OR d.pending_operation IS NOT NULL)
 ORDER BY d.id LIMIT $3)
LIMIT $3

-- name: payments_of_customer
SELECT id FROM payment_intent
WHERE merchant = $1 AND customer = $2 AND id > $3
ORDER BY id LIMIT $4

-- name: objects_of_payments
SELECT unnest($2::text[]) AS id
UNION ALL SELECT id FROM refund WHERE merchant = $1 AND intent = ANY ($2)
UNION ALL SELECT id FROM dispute WHERE merchant = $1 AND intent = ANY ($2)

-- name: attempts_of_payments
SELECT {attempt} FROM attempt WHERE merchant = $1 AND intent = ANY ($2::text[])

-- name: disputes_of_payments
SELECT {dispute} FROM dispute WHERE merchant = $1 AND intent = ANY ($2::text[])

-- name: events_of_objects
SELECT {event} FROM event
WHERE merchant = $1 AND object_id = ANY ($2::text[])

-- name: overwrite_event
UPDATE event SET sealed = $4
WHERE merchant = $1 AND id = $2 AND created_at = $3 AND sealed = $5
RETURNING id

-- name: delete_webhook_body_of
WITH pending AS (
    SELECT FROM webhook_endpoint w JOIN delivery d
        ON d.merchant = w.merchant AND d.endpoint = w.id AND d.event = $2
    WHERE w.merchant = $1 AND d.status = 'pending' LIMIT 1
), deleted AS (
    DELETE FROM webhook_body WHERE merchant = $1 AND id = $2 AND NOT EXISTS (SELECT FROM pending)
)
SELECT EXISTS (SELECT FROM pending) AS waits

-- name: events_of_objects_that_wait
SELECT count(*) AS waiting FROM provider_event
WHERE merchant = $1 AND subject = ANY ($2::text[]) AND status IN ('received', 'parked')

-- name: delete_bodies_of_objects
WITH done AS MATERIALIZED (
    SELECT b.merchant, b.id, b.received_at
    FROM provider_event e
    JOIN provider_event_body b ON b.merchant = e.merchant AND b.id = e.id
        AND b.received_at = e.received_at
    WHERE e.merchant = $1 AND e.subject = ANY ($2::text[]) AND e.received_at >= $3
      AND e.status NOT IN ('received', 'parked')
    LIMIT $4
    FOR SHARE OF e  -- who replays one comes before, or finds its body gone
)
DELETE FROM provider_event_body b USING done
WHERE b.merchant = done.merchant AND b.id = done.id AND b.received_at = done.received_at
RETURNING b.id

-- name: responses_about_customer
SELECT {idempotency_key as k} FROM idempotency_key k
WHERE k.merchant = $1 AND k.id > $3 AND k.state = 'finished'
  AND (k.about IS NULL  -- a version wrote it that had no such column: opening it tells
       OR k.about IN (
    SELECT id FROM payment_intent WHERE merchant = $1 AND customer = $2
    UNION ALL SELECT r.id FROM payment_intent p
        JOIN refund r ON r.merchant = p.merchant AND r.intent = p.id
        WHERE p.merchant = $1 AND p.customer = $2
    UNION ALL SELECT d.id FROM payment_intent p
        JOIN dispute d ON d.merchant = p.merchant AND d.intent = p.id
        WHERE p.merchant = $1 AND p.customer = $2))
ORDER BY k.id LIMIT $4

-- name: is_of_erased_customer
SELECT is_of_erased_customer($1, $2) AS erased

-- name: customers_erasing
SELECT merchant, id, erased_at FROM customer
WHERE erasure_began_at IS NOT NULL AND (merchant, id) > ($1, $2)
ORDER BY merchant, id LIMIT $3
