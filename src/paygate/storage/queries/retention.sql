-- name: delete_provider_event_bodies
WITH old AS MATERIALIZED (
    SELECT b.merchant, b.id, b.received_at
    FROM provider_event_body b JOIN provider_event e ON e.merchant = b.merchant AND e.id = b.id
    WHERE b.merchant = $1 AND b.id > $2 AND b.id < $3 AND b.received_at < $4
      AND e.status IN ('processed', 'ignored', 'stale')
    ORDER BY b.id LIMIT $5
    FOR SHARE OF e SKIP LOCKED  -- who replays one comes before, or finds its body gone
)
DELETE FROM provider_event_body b USING old
WHERE b.merchant = old.merchant AND b.id = old.id AND b.received_at = old.received_at
RETURNING b.id

-- name: delete_deliveries
DELETE FROM delivery d USING (
    SELECT o.merchant, o.id
    FROM webhook_cursor c CROSS JOIN LATERAL (
        SELECT merchant, id FROM delivery
        WHERE merchant = c.merchant AND id < $1 AND status <> 'pending' AND updated_at < $2
        ORDER BY id LIMIT $3) o
    LIMIT $3
) old
WHERE d.merchant = old.merchant AND d.id = old.id AND d.status <> 'pending'
RETURNING d.id

-- name: delete_webhook_bodies
DELETE FROM webhook_body b USING (
    SELECT o.merchant, o.id
    FROM webhook_cursor c CROSS JOIN LATERAL (
        SELECT v.merchant, v.id FROM webhook_body v
        WHERE v.merchant = c.merchant AND v.id < $1 AND v.created_at < $2
          AND NOT EXISTS (
            SELECT FROM webhook_endpoint w JOIN delivery d
                ON d.merchant = w.merchant AND d.endpoint = w.id AND d.event = v.id
            WHERE w.merchant = v.merchant)
        ORDER BY v.id LIMIT $3) o
    LIMIT $3
) old
WHERE b.merchant = old.merchant AND b.id = old.id
RETURNING b.id

-- name: months_not_made
SELECT name FROM unnest($1::text[]) AS name
WHERE to_regclass(name || '_' || to_char($2::timestamptz AT TIME ZONE 'UTC', 'YYYY_MM')) IS NULL
ORDER BY name
