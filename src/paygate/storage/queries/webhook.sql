-- name: webhook_endpoint
SELECT {webhook_endpoint} FROM webhook_endpoint WHERE merchant = $1 AND id = $2

-- name: webhook_endpoints_older
SELECT {webhook_endpoint} FROM webhook_endpoint
WHERE merchant = $1 AND id < $2 AND status <> 'deleted'
ORDER BY id DESC LIMIT $3

-- name: webhook_endpoints_newer
SELECT {webhook_endpoint} FROM webhook_endpoint
WHERE merchant = $1 AND id > $2 AND status <> 'deleted'
ORDER BY id LIMIT $3

-- name: webhook_endpoints_enabled
SELECT {webhook_endpoint} FROM webhook_endpoint
WHERE status = 'enabled' AND (merchant, id) > ($1, $2)
ORDER BY merchant, id LIMIT $3

-- name: delivery
SELECT {delivery} FROM delivery WHERE merchant = $1 AND id = $2

-- name: deliveries_older
SELECT {delivery} FROM delivery
WHERE merchant = $1 AND id < $2 AND endpoint = $4 AND ($5::text IS NULL OR status = $5)
ORDER BY id DESC LIMIT $3

-- name: deliveries_newer
SELECT {delivery} FROM delivery
WHERE merchant = $1 AND id > $2 AND endpoint = $4 AND ($5::text IS NULL OR status = $5)
ORDER BY id LIMIT $3

-- name: deliveries_since
SELECT {delivery} FROM delivery
WHERE merchant = $3 AND endpoint = $4 AND id > $1 AND created_at >= $5
  AND (status = 'failed' OR ($6 AND status = 'delivered'))
ORDER BY id LIMIT $2

-- name: webhook_body
SELECT {webhook_body} FROM webhook_body WHERE merchant = $1 AND id = $2

-- name: anybody_to_tell
SELECT EXISTS (SELECT FROM webhook_cursor)

-- name: written_until
SELECT snapshot::text AS until, pg_snapshot_xmin(snapshot) = pg_snapshot_xmax(snapshot) AS whole
FROM pg_current_snapshot() AS snapshot

-- name: events_to_tell
SELECT clock_timestamp() AS read_at, c.written_in AS from_written_in, c.event AS from_event, e.*
FROM webhook_cursor c CROSS JOIN LATERAL (
    SELECT written_in AS to_written_in, {event as v} FROM event v
    WHERE v.merchant = c.merchant AND (v.written_in, v.id) > (c.written_in, c.event)
      AND v.written_in < (SELECT place_of(pg_snapshot_xmin(pg_current_snapshot())))
    ORDER BY v.written_in, v.id LIMIT $1) e
WHERE EXISTS (SELECT FROM webhook_endpoint w WHERE w.merchant = c.merchant AND w.status <> 'deleted')
ORDER BY e.merchant, e.to_written_in, e.id

-- name: pass_nobodys_events
UPDATE webhook_cursor c SET written_in = place_of(pg_snapshot_xmin(pg_current_snapshot())), event = ''
WHERE NOT EXISTS (
    SELECT FROM webhook_endpoint w WHERE w.merchant = c.merchant AND w.status <> 'deleted')
  AND EXISTS (
    SELECT FROM event e
    WHERE e.merchant = c.merchant AND (e.written_in, e.id) > (c.written_in, c.event)
      AND e.written_in < (SELECT place_of(pg_snapshot_xmin(pg_current_snapshot()))))

-- name: tell_events
WITH moved AS (
    UPDATE webhook_cursor SET written_in = $4, event = $5
    WHERE merchant = $1 AND written_in = $2 AND event = $3
    RETURNING merchant
), bodies AS (
    INSERT INTO webhook_body ({webhook_body})
    SELECT {webhook_body as r} FROM {webhook_body rows from $6}
    WHERE EXISTS (SELECT FROM moved)
    ON CONFLICT DO NOTHING
), deliveries AS (
    INSERT INTO delivery ({delivery})
    SELECT {delivery as r} FROM {delivery rows from $10}
    WHERE EXISTS (SELECT FROM moved)
    ON CONFLICT DO NOTHING
)
SELECT count(*) AS moved FROM moved

-- name: keep_webhook_body
INSERT INTO webhook_body ({webhook_body})
SELECT {webhook_body as r} FROM {webhook_body rows from $1}
ON CONFLICT DO NOTHING

-- name: endpoints_due
SELECT e.merchant, e.id AS endpoint
FROM webhook_endpoint e LEFT JOIN webhook_pause p ON p.merchant = e.merchant AND p.endpoint = e.id
WHERE e.status = 'enabled' AND (p.paused_until IS NULL OR p.paused_until <= clock_timestamp())
  AND EXISTS (
    SELECT FROM delivery d
    WHERE d.merchant = e.merchant AND d.endpoint = e.id AND d.status = 'pending'
      AND d.next_attempt_at <= clock_timestamp()
      AND (d.leased_until IS NULL OR d.leased_until < clock_timestamp()))

-- name: endpoints_ended
SELECT e.merchant, e.id AS endpoint
FROM webhook_endpoint e
WHERE e.status <> 'enabled'
  AND EXISTS (
    SELECT FROM delivery d
    WHERE d.merchant = e.merchant AND d.endpoint = e.id AND d.status = 'pending'
      AND (d.leased_until IS NULL OR d.leased_until < clock_timestamp()))

-- name: lease_deliveries
WITH picked AS MATERIALIZED (
    SELECT d.merchant, d.id, d.event
    -- A lease that a crash of the server forgets is sent again, as one that is out: no need to wait
    -- for the disk.
    FROM (SELECT set_config('synchronous_commit', 'off', true)) AS unhurried
    CROSS JOIN unnest($1::text[], $2::text[], $3::integer[]) AS w (merchant, endpoint, places)
    CROSS JOIN LATERAL (
        SELECT d.merchant, d.id, d.event FROM delivery d
        WHERE d.merchant = w.merchant AND d.endpoint = w.endpoint AND d.status = 'pending'
          AND (d.next_attempt_at <= clock_timestamp() OR $6)
          AND (d.leased_until IS NULL OR d.leased_until < clock_timestamp())
        ORDER BY d.next_attempt_at, d.id LIMIT w.places FOR UPDATE SKIP LOCKED) d
)
UPDATE delivery d SET leased_until = clock_timestamp() + $4, run = $5
FROM picked p LEFT JOIN webhook_body b ON b.merchant = p.merchant AND b.id = p.event
WHERE d.merchant = p.merchant AND d.id = p.id
RETURNING {delivery as d}, {webhook_body as b}, clock_timestamp() AS leased_at

-- name: clock
SELECT clock_timestamp()

-- name: write_deliveries
UPDATE delivery d
SET version = r.version, status = r.status, next_attempt_at = r.next_attempt_at,
    updated_at = r.updated_at, sealed = r.sealed
FROM {delivery rows from $2}
WHERE d.merchant = r.merchant AND d.id = r.id AND d.version = r.version - 1 AND d.run = $1
RETURNING d.id

-- name: pause_endpoint
INSERT INTO webhook_pause (merchant, endpoint, paused_until, failures)
VALUES ($1, $2, clock_timestamp() + $3, $4)
ON CONFLICT (merchant, endpoint) DO UPDATE
SET paused_until = greatest(webhook_pause.paused_until, EXCLUDED.paused_until),
    failures = EXCLUDED.failures

-- name: resume_endpoint
DELETE FROM webhook_pause WHERE merchant = $1 AND endpoint = $2

-- name: pauses
SELECT merchant, endpoint, failures FROM webhook_pause
