-- name: timeline
WITH refunds AS MATERIALIZED (
    SELECT * FROM refund r WHERE r.merchant = $1 AND r.intent = $2
    ORDER BY r.created_at DESC, r.id DESC LIMIT $3
), disputes AS MATERIALIZED (
    SELECT * FROM dispute d WHERE d.merchant = $1 AND d.intent = $2
    ORDER BY d.created_at DESC, d.id DESC LIMIT $3
), about AS MATERIALIZED (  -- whatever tells of one of these tells of the payment
    SELECT $2 AS id UNION ALL SELECT id FROM refunds UNION ALL SELECT id FROM disputes
), events AS MATERIALIZED (
    SELECT e.* FROM about a CROSS JOIN LATERAL (
        SELECT * FROM event v
        WHERE v.merchant = $1 AND v.object_id = a.id AND v.created_at >= $4
        ORDER BY v.written_in DESC, v.id DESC LIMIT $3) e
    ORDER BY e.written_in DESC, e.id DESC LIMIT $3
)
SELECT 'refund' AS source, ROW({refund as r}) AS record FROM refunds r
UNION ALL SELECT 'dispute', ROW({dispute as d}) FROM disputes d
UNION ALL SELECT 'event', ROW({event as e}) FROM events e
UNION ALL SELECT 'attempt', ROW({attempt as t}) FROM (
    SELECT * FROM attempt WHERE merchant = $1 AND intent = $2 ORDER BY number DESC LIMIT $3) t
UNION ALL SELECT 'correction', ROW({correction as c}) FROM (
    SELECT * FROM correction WHERE merchant = $1 AND intent = $2
    ORDER BY intent_version DESC LIMIT $3) c
UNION ALL SELECT 'ledger_transfer', ROW({ledger_transfer as l}) FROM (
    SELECT * FROM ledger_transfer WHERE merchant = $1 AND intent = $2
    ORDER BY money_seq DESC LIMIT $3) l
UNION ALL SELECT 'provider_event', ROW({provider_event as p}) FROM (
    SELECT p.* FROM about a CROSS JOIN LATERAL (
        SELECT * FROM provider_event h WHERE h.merchant = $5 AND h.subject = a.id
        ORDER BY h.id DESC LIMIT $3) p
    ORDER BY p.id DESC LIMIT $3) p
UNION ALL SELECT 'delivery', ROW({delivery as d}) FROM (
    SELECT d.* FROM events e
    CROSS JOIN (SELECT w.id FROM webhook_endpoint w WHERE w.merchant = $1) w
    CROSS JOIN LATERAL (  -- one by its key, whatever the statistics are
        SELECT * FROM delivery x
        WHERE x.merchant = $1 AND x.endpoint = w.id AND x.event = e.id OFFSET 0) d
    ORDER BY d.id DESC LIMIT $3) d
UNION ALL SELECT 'alert', ROW({alert as l}) FROM (
    SELECT l.* FROM about a CROSS JOIN LATERAL (
        SELECT * FROM alert x WHERE x.merchant = $1 AND x.subject = a.id
        ORDER BY x.id DESC LIMIT $3) l
    ORDER BY l.id DESC LIMIT $3) l
UNION ALL SELECT 'audit_entry', ROW({audit_entry as u}) FROM (
    SELECT u.* FROM about a CROSS JOIN LATERAL (
        SELECT * FROM audit_entry x
        WHERE x.merchant = $1 AND x.subject = a.id AND x.at >= $4 AND x.action <> ALL ($6::text[])
        ORDER BY x.id DESC LIMIT $3) u
    ORDER BY u.id DESC LIMIT $3) u
UNION ALL SELECT 'reconciliation_finding', ROW({reconciliation_finding as f}) FROM (
    SELECT * FROM reconciliation_finding
    WHERE merchant = $5 AND payment_intent = $2 ORDER BY id DESC LIMIT $3) f
UNION ALL SELECT 'settlement', ROW({settlement as s}) FROM (
    SELECT * FROM settlement WHERE merchant = $5 AND id IN (
        SELECT l.settlement FROM about a JOIN settlement_line l ON l.merchant = $5 AND l.fact = a.id
        WHERE (SELECT true FROM settlement_withdrawn w WHERE w.merchant = l.merchant
                 AND w.settlement = l.settlement AND w.page = l.page) IS NULL
        UNION ALL
        SELECT m.settlement FROM about a
        JOIN settlement_match m ON m.merchant = $5 AND m.fact = a.id
        JOIN settlement_line l ON l.merchant = m.merchant AND l.id = m.id
        WHERE (SELECT true FROM settlement_withdrawn w WHERE w.merchant = l.merchant
                 AND w.settlement = l.settlement AND w.page = l.page) IS NULL)
    ORDER BY id DESC LIMIT $3) s
UNION ALL SELECT 'discrepancy', ROW({discrepancy as d}) FROM (
    SELECT * FROM discrepancy
    WHERE merchant = $5 AND payment_intent = $2 ORDER BY created_at DESC, id DESC LIMIT $3) d
