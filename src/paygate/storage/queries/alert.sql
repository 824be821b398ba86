-- name: alert
SELECT merchant, id, version, status, stands_as, created_at, updated_at, sealed
FROM alert WHERE merchant = $1 AND id = $2

-- name: alert_standing
SELECT merchant, id, version, status, stands_as, created_at, updated_at, sealed
FROM alert WHERE merchant = $1 AND stands_as = $2
