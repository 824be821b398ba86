-- name: end_when_silent
SELECT set_config('idle_session_timeout', $1::integer::text, false)

-- name: release_job
SELECT pg_advisory_unlock(hashtextextended('paygate job ' || $1::text, 0))

-- name: claim_job
SELECT pg_try_advisory_lock(hashtextextended('paygate job ' || $1::text, 0))
