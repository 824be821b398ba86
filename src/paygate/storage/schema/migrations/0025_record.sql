-- outside a transaction
-- What the audit log is searched by, and what a payment's timeline is read by. The columns are null in
-- rows of before; those rows are found by time alone.

DO $$
BEGIN
    ALTER TABLE audit_entry ADD COLUMN IF NOT EXISTS subject text;
    ALTER TABLE audit_entry ADD COLUMN IF NOT EXISTS action  text;
    ALTER TABLE audit_entry ADD COLUMN IF NOT EXISTS actor   text;
END $$;

DO $$
BEGIN
    ALTER TABLE alert ADD COLUMN IF NOT EXISTS subject text;
    ALTER TABLE reconciliation_finding ADD COLUMN IF NOT EXISTS payment_intent text;
END $$;

CREATE INDEX CONCURRENTLY audit_entry_subject ON audit_entry (merchant, subject, id)
    WHERE subject IS NOT NULL;

CREATE INDEX CONCURRENTLY alert_subject ON alert (merchant, subject, id)
    WHERE subject IS NOT NULL;

CREATE INDEX CONCURRENTLY reconciliation_finding_payment
    ON reconciliation_finding (merchant, payment_intent, id) WHERE payment_intent IS NOT NULL;
