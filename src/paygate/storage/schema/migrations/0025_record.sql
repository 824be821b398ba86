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

-- What each payment does is found by going through the log: wherever there are many entries, some of
-- these are near. All else is rare, and so is its index, which costs a payment nothing.
CREATE INDEX CONCURRENTLY audit_entry_action ON audit_entry (merchant, action, id)
    WHERE action NOT IN ('payment_intent.create', 'payment_intent.confirm',
                         'provider_event.receive', 'provider_event.apply');

CREATE INDEX CONCURRENTLY alert_subject ON alert (merchant, subject, id)
    WHERE subject IS NOT NULL;

CREATE INDEX CONCURRENTLY reconciliation_finding_payment
    ON reconciliation_finding (merchant, payment_intent, id) WHERE payment_intent IS NOT NULL;
