-- name: alert
SELECT {alert} FROM alert WHERE merchant = $1 AND id = $2

-- name: alert_standing
SELECT {alert} FROM alert WHERE merchant = $1 AND stands_as = $2

-- name: alerts_older
SELECT {alert} FROM alert WHERE merchant = $1 AND id < $2 AND ($4::text IS NULL OR status = $4)
ORDER BY id DESC LIMIT $3

-- name: alerts_newer
SELECT {alert} FROM alert WHERE merchant = $1 AND id > $2 AND ($4::text IS NULL OR status = $4)
ORDER BY id LIMIT $3

-- name: alert_occurrence
SELECT {alert_occurrence} FROM alert_occurrence WHERE merchant = $1 AND id = $2

-- name: alerts_standing
SELECT {alert} FROM alert WHERE stands_as IS NOT NULL AND (merchant, id) > ($1, $2)
ORDER BY merchant, id LIMIT $3

-- name: occurrences_waiting
SELECT {alert_occurrence} FROM alert_occurrence
WHERE version = 1 AND at < $5 AND (at, merchant, id) > ($1, $2, $3)
ORDER BY at, merchant, id LIMIT $4

-- name: alert_notice
SELECT {alert_notice} FROM alert_notice WHERE merchant = $1 AND id = $2

-- name: alerts_to_send
SELECT {alert} FROM alert
WHERE stands_as IS NOT NULL AND status = 'open' AND (merchant, id) > ($1, $2)
  AND NOT EXISTS (
    SELECT FROM alert_notice n
    WHERE n.merchant = alert.merchant AND n.alert = alert.id AND n.channel = $4
      AND (n.alert_version >= alert.version OR n.at > $5 AND n.at < $6
           OR n.next_at > $7 AND n.next_at <= $8))
ORDER BY merchant, id LIMIT $3
