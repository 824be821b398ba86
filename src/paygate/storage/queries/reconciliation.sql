-- name: reconciliation
SELECT {reconciliation} FROM reconciliation WHERE merchant = $1 AND id = $2

-- name: reconciliation_running
SELECT {reconciliation} FROM reconciliation WHERE merchant = $1 AND running_as = $2

-- name: reconciliation_ended_last
SELECT {reconciliation} FROM reconciliation
WHERE merchant = $1 AND status <> $2 ORDER BY id DESC LIMIT 1

-- name: reconciliations_older
SELECT {reconciliation} FROM reconciliation WHERE merchant = $1 AND id < $2
ORDER BY id DESC LIMIT $3

-- name: reconciliations_newer
SELECT {reconciliation} FROM reconciliation WHERE merchant = $1 AND id > $2
ORDER BY id LIMIT $3

-- name: reconciliation_findings_older
SELECT {reconciliation_finding} FROM reconciliation_finding
WHERE merchant = $1 AND id < $2 AND reconciliation = $4
ORDER BY id DESC LIMIT $3

-- name: reconciliation_findings_newer
SELECT {reconciliation_finding} FROM reconciliation_finding
WHERE merchant = $1 AND id > $2 AND reconciliation = $4
ORDER BY id LIMIT $3

-- name: reconciliation_findings_held
SELECT {reconciliation_finding} FROM reconciliation_finding
WHERE merchant >= $1 AND id > $2 AND merchant = $4 AND reconciliation = $5 AND action = $6
ORDER BY id LIMIT $3

-- name: reconciliation_findings_counted
SELECT kind, action, count(*) AS found FROM reconciliation_finding
WHERE merchant = $1 AND reconciliation = $2 GROUP BY kind, action

-- name: payment_intents_by_provider_references
SELECT {payment_intent} FROM payment_intent WHERE provider_reference_index = ANY ($1)

-- name: payment_intents_of_status
SELECT {payment_intent as i} FROM merchant m CROSS JOIN LATERAL (
    SELECT * FROM payment_intent p
    WHERE p.merchant = m.id AND p.status = $4
      AND p.id > CASE WHEN m.id = $1 THEN $2 ELSE '' END
    ORDER BY p.id LIMIT $3) i
WHERE m.id >= $1
ORDER BY m.id, i.id LIMIT $3

-- name: payment_intents_made
SELECT {payment_intent as i} FROM merchant m CROSS JOIN LATERAL (
    SELECT * FROM payment_intent p
    WHERE p.merchant = m.id AND p.id >= $1 AND p.id < $2 AND p.provider_reference_index IS NOT NULL
    ORDER BY p.id DESC LIMIT $3) i
LIMIT $3
