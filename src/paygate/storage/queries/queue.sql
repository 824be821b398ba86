-- name: jobs_waiting
SELECT entrypoint, count(*) AS waiting
FROM pgqueuer WHERE created < $1
GROUP BY entrypoint
UNION ALL
-- No job of the queue's: merchants whose next event nobody has made into deliveries.
SELECT 'tell-events', count(*)
FROM webhook_cursor c CROSS JOIN LATERAL (
    SELECT v.created_at FROM event v
    WHERE v.merchant = c.merchant AND (v.written_in, v.id) > (c.written_in, c.event)
    ORDER BY v.written_in, v.id LIMIT 1) e
WHERE e.created_at < $1
  AND EXISTS (SELECT FROM webhook_endpoint w WHERE w.merchant = c.merchant AND w.status <> 'deleted')
HAVING count(*) > 0
ORDER BY entrypoint
