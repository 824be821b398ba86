-- name: jobs_waiting
SELECT entrypoint, count(*) AS waiting
FROM pgqueuer WHERE created < $1
GROUP BY entrypoint ORDER BY entrypoint
