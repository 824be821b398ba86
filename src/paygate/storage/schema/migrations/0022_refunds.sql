-- Refunds: several to a payment intent, each an order that stands until the provider has answered it.
-- What they do to the money is the ledger's; here is how far each has come.

CREATE TABLE refund (
    merchant                 text NOT NULL,
    id                       text NOT NULL,
    version                  integer NOT NULL,
    intent                   text NOT NULL,
    state                    text NOT NULL,
    created_at               timestamptz NOT NULL,
    updated_at               timestamptz NOT NULL,
    last_sent_at             timestamptz,
    approval_expires_at      timestamptz,
    provider_reference_index bytea,
    sealed                   bytea NOT NULL,
    PRIMARY KEY (merchant, id)
);
ALTER TABLE refund ALTER COLUMN sealed SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX refund_provider_reference ON refund (provider_reference_index);
-- Ids are made from what a refund does, so that they tell nothing of its age.
CREATE INDEX refund_of_intent ON refund (merchant, intent, created_at, id);
CREATE INDEX refund_by_age ON refund (merchant, created_at, id);
CREATE INDEX refund_in_doubt ON refund (last_sent_at, merchant, id)
    WHERE state IN ('started', 'unknown', 'not_sent');
CREATE INDEX refund_awaiting_approval ON refund (approval_expires_at, merchant, id)
    WHERE state = 'awaiting_approval';
CREATE INDEX refund_pending ON refund (merchant, id) WHERE state = 'pending';

CREATE FUNCTION check_refund() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NOT (CASE OLD.state
        WHEN 'awaiting_approval' THEN NEW.state IN ('started', 'pending', 'succeeded', 'failed')
        WHEN 'started' THEN NEW.state IN ('unknown', 'not_sent', 'pending', 'succeeded', 'failed')
        WHEN 'unknown' THEN NEW.state IN ('unknown', 'pending', 'succeeded', 'failed')
        WHEN 'not_sent' THEN NEW.state IN ('started', 'pending', 'succeeded', 'failed')
        WHEN 'pending' THEN NEW.state IN ('pending', 'succeeded', 'failed')
        WHEN 'succeeded' THEN NEW.state IN ('succeeded', 'failed')
        WHEN 'failed' THEN NEW.state IN ('pending', 'succeeded')
        ELSE false END) THEN
        RAISE EXCEPTION 'a refund that is % cannot become %', OLD.state, NEW.state
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF TG_OP = 'UPDATE' AND (NEW.intent <> OLD.intent OR NEW.created_at <> OLD.created_at) THEN
        RAISE EXCEPTION 'a refund keeps its payment intent and the time when it was made'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER refund_state BEFORE UPDATE ON refund
    FOR EACH ROW EXECUTE FUNCTION check_refund();
CREATE TRIGGER version_one BEFORE INSERT ON refund
    FOR EACH ROW EXECUTE FUNCTION check_new_record();
CREATE TRIGGER version_next BEFORE UPDATE ON refund
    FOR EACH ROW EXECUTE FUNCTION check_next_version();
CREATE TRIGGER no_delete BEFORE DELETE ON refund
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON refund
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE refund ENABLE ALWAYS TRIGGER refund_state;
ALTER TABLE refund ENABLE ALWAYS TRIGGER version_one;
ALTER TABLE refund ENABLE ALWAYS TRIGGER version_next;
ALTER TABLE refund ENABLE ALWAYS TRIGGER no_delete;
ALTER TABLE refund ENABLE ALWAYS TRIGGER no_truncate;
CALL keep_older_writers_out('refund');

-- An intent that has succeeded stays so while its money goes back in parts.
CREATE OR REPLACE FUNCTION check_payment_intent_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'created' OR NEW.money_seq <> 0 THEN
            RAISE EXCEPTION 'a payment intent begins as created, and without money'
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    ELSIF NOT (CASE OLD.status
        WHEN 'created' THEN NEW.status IN ('created', 'processing', 'cancelled')
        WHEN 'processing' THEN NEW.status IN
            ('processing', 'requires_action', 'requires_capture', 'succeeded', 'failed', 'cancelled')
        WHEN 'requires_action' THEN NEW.status IN
            ('requires_action', 'requires_capture', 'succeeded', 'failed', 'cancelled')
        WHEN 'requires_capture' THEN NEW.status IN
            ('requires_capture', 'succeeded', 'failed', 'cancelled')
        WHEN 'succeeded' THEN NEW.status IN ('succeeded', 'refunded')
        WHEN 'failed' THEN NEW.status IN ('succeeded')
        WHEN 'cancelled' THEN NEW.status IN ('succeeded')
        WHEN 'refunded' THEN NEW.status IN ('refunded', 'succeeded')
        ELSE false END) THEN
        RAISE EXCEPTION 'a payment intent that is % cannot become %', OLD.status, NEW.status
            USING ERRCODE = 'integrity_constraint_violation';
    ELSIF NEW.money_seq NOT IN (OLD.money_seq, OLD.money_seq + 1) THEN
        RAISE EXCEPTION 'money moves on a payment intent one fact at a time'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

-- A refund that comes to its end under an intent that is refunded already corrects nothing.
CREATE OR REPLACE FUNCTION check_correction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> OLD.status AND NOT EXISTS (
            SELECT FROM correction c WHERE c.merchant = NEW.merchant AND c.intent = NEW.id
            AND c.intent_version = NEW.version AND c.from_status = OLD.status
            AND c.to_status = NEW.status) THEN
        RAISE EXCEPTION 'a payment intent that is % becomes % by a correction alone',
            OLD.status, NEW.status USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
