-- name: event
SELECT {event} FROM event
WHERE merchant = $1 AND id = $2 AND created_at >= $3 AND created_at < $4  -- the months of these times

-- name: events_older
SELECT {event} FROM event
WHERE merchant = $1
  AND (written_in, id) < (coalesce((SELECT e.written_in FROM event e
                                    WHERE e.merchant = $1 AND e.id = $2),
                                   '18446744073709551615'::xid8), $2)
  AND written_in < (SELECT place_of(pg_snapshot_xmin(pg_current_snapshot())))
  AND ($4::text IS NULL OR type = $4 OR type IS NULL)
  AND ($5::text IS NULL OR object_id = $5)
  AND ($6::timestamptz IS NULL OR created_at > $6)
  AND ($7::timestamptz IS NULL OR created_at < $7)
ORDER BY written_in DESC, id DESC LIMIT $3

-- name: events_newer
SELECT {event} FROM event
WHERE merchant = $1
  AND (written_in, id) > (coalesce((SELECT e.written_in FROM event e
                                    WHERE e.merchant = $1 AND e.id = $2),
                                   '18446744073709551615'::xid8), $2)
  AND written_in < (SELECT place_of(pg_snapshot_xmin(pg_current_snapshot())))
  AND ($4::text IS NULL OR type = $4 OR type IS NULL)
  AND ($5::text IS NULL OR object_id = $5)
  AND ($6::timestamptz IS NULL OR created_at > $6)
  AND ($7::timestamptz IS NULL OR created_at < $7)
ORDER BY written_in, id LIMIT $3
