-- Idempotency keys with a lease, customers, what lists search by, corrections, and alerts.

-- Nothing was released before this: an intent made by an earlier checkout has no index columns,
-- and its sealed record would contradict them.
DO $$ BEGIN
    IF EXISTS (SELECT FROM payment_intent) THEN
        RAISE EXCEPTION 'this database was made by a pre-release of paygate: start with a new one'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $$;

-- `lease` is how long whoever works on a request may be silent; when that ends is set here, on
-- the database's clock, so that no node's clock decides who may take over.
ALTER TABLE idempotency_key
    ADD COLUMN holder       text NOT NULL,
    ADD COLUMN lease        interval,
    ADD COLUMN leased_until timestamptz;
-- Keys come in the order of time and are purged in it: a few bytes a page instead of an entry a row.
CREATE INDEX idempotency_key_age ON idempotency_key USING brin (created_at)
    WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX idempotency_key_working ON idempotency_key (created_at) WHERE state = 'working';

CREATE FUNCTION check_idempotency_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF OLD.state = 'finished' THEN
            RAISE EXCEPTION 'an idempotency key that is finished stays so'
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        IF NEW.holder <> OLD.holder AND OLD.leased_until > clock_timestamp() THEN
            RAISE EXCEPTION 'an idempotency key is still leased to another holder'
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    END IF;
    NEW.leased_until := clock_timestamp() + NEW.lease;
    RETURN NEW;
END $$;

-- A key that is not finished may stand for a charge under way: only its request ends it.
CREATE FUNCTION check_idempotency_key_purge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'finished' THEN
        RAISE EXCEPTION 'an idempotency key that is not finished is never purged'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN OLD;
END $$;

-- Wakes those who wait for the key, on every node. Not on insert: nobody waits for a new key.
CREATE FUNCTION tell_idempotency_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('paygate_idempotency_key', NEW.id);
    RETURN NULL;
END $$;

CREATE TRIGGER idempotency_key_lease BEFORE INSERT OR UPDATE ON idempotency_key
    FOR EACH ROW EXECUTE FUNCTION check_idempotency_key();
CREATE TRIGGER idempotency_key_purge BEFORE DELETE ON idempotency_key
    FOR EACH ROW EXECUTE FUNCTION check_idempotency_key_purge();
CREATE TRIGGER idempotency_key_free AFTER UPDATE ON idempotency_key
    FOR EACH ROW WHEN (NEW.lease IS NULL) EXECUTE FUNCTION tell_idempotency_key();

-- Lists go by id, which sorts by time.
ALTER TABLE payment_intent
    ADD COLUMN reference_index bytea,
    ADD COLUMN customer        text;
CREATE INDEX payment_intent_status ON payment_intent (merchant, status, id);
CREATE INDEX payment_intent_reference ON payment_intent (merchant, reference_index, id)
    WHERE reference_index IS NOT NULL;
CREATE INDEX payment_intent_customer ON payment_intent (merchant, customer, id)
    WHERE customer IS NOT NULL;

CREATE TABLE customer (
    merchant   text NOT NULL,
    id         text NOT NULL,
    version    integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    sealed     bytea NOT NULL,
    PRIMARY KEY (merchant, id)
);
ALTER TABLE customer ALTER COLUMN sealed SET STORAGE EXTERNAL;

-- `stands_as` names what an alert is about, as long as it is not closed: one of each at a time.
CREATE TABLE alert (
    merchant   text NOT NULL,
    id         text NOT NULL,
    version    integer NOT NULL,
    status     text NOT NULL CHECK (status IN ('open', 'acknowledged', 'closed')),
    stands_as  text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    sealed     bytea NOT NULL,
    PRIMARY KEY (merchant, id),
    UNIQUE (merchant, stands_as),
    CHECK ((status = 'closed') = (stands_as IS NULL))
);
ALTER TABLE alert ALTER COLUMN sealed SET STORAGE EXTERNAL;

-- A payment goes backwards on the provider's proof alone, and never without this row.
CREATE TABLE correction (
    merchant       text NOT NULL,
    id             text NOT NULL,
    intent         text NOT NULL,
    intent_version integer NOT NULL,
    from_status    text NOT NULL,
    to_status      text NOT NULL,
    at             timestamptz NOT NULL,
    sealed         bytea NOT NULL,
    PRIMARY KEY (merchant, id),
    UNIQUE (merchant, intent, intent_version)
);
ALTER TABLE correction ALTER COLUMN sealed SET STORAGE EXTERNAL;

-- The tables of domain/payment_intent.py, by status; a test holds them together.
CREATE OR REPLACE FUNCTION check_payment_intent_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'created' THEN
            RAISE EXCEPTION 'a payment intent begins as created'
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    ELSIF NOT (CASE OLD.status
        WHEN 'created' THEN NEW.status IN ('processing', 'cancelled')
        WHEN 'processing' THEN NEW.status IN
            ('processing', 'requires_action', 'requires_capture', 'succeeded', 'failed', 'cancelled')
        WHEN 'requires_action' THEN NEW.status IN
            ('requires_action', 'requires_capture', 'succeeded', 'failed', 'cancelled')
        WHEN 'requires_capture' THEN NEW.status IN ('succeeded', 'failed', 'cancelled')
        WHEN 'succeeded' THEN NEW.status IN ('refunded')
        WHEN 'failed' THEN NEW.status IN ('succeeded')
        WHEN 'cancelled' THEN NEW.status IN ('succeeded')
        WHEN 'refunded' THEN NEW.status IN ('succeeded')
        ELSE false END) THEN
        RAISE EXCEPTION 'a payment intent that is % cannot become %', OLD.status, NEW.status
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION check_correction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM correction c WHERE c.merchant = NEW.merchant AND c.intent = NEW.id
                   AND c.intent_version = NEW.version AND c.from_status = OLD.status
                   AND c.to_status = NEW.status) THEN
        RAISE EXCEPTION 'a payment intent that is % becomes % by a correction alone',
            OLD.status, NEW.status USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

-- After the statement, when the correction of the same commit is there too.
CREATE TRIGGER payment_intent_corrected AFTER UPDATE ON payment_intent
    FOR EACH ROW WHEN (OLD.status IN ('failed', 'cancelled', 'refunded'))
    EXECUTE FUNCTION check_correction();

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['customer', 'alert'] LOOP
        EXECUTE format('CREATE TRIGGER version_one BEFORE INSERT ON %I
                        FOR EACH ROW EXECUTE FUNCTION check_new_record()', name);
        EXECUTE format('CREATE TRIGGER version_next BEFORE UPDATE ON %I
                        FOR EACH ROW EXECUTE FUNCTION check_next_version()', name);
        EXECUTE format('CREATE TRIGGER no_delete BEFORE DELETE ON %I
                        FOR EACH ROW EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER version_one', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER version_next', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER no_delete', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['customer', 'alert', 'correction'] LOOP
        EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER no_truncate', name);
    END LOOP;
END $$;
CREATE TRIGGER no_update BEFORE UPDATE OR DELETE ON correction
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

ALTER TABLE idempotency_key ENABLE ALWAYS TRIGGER idempotency_key_lease;
ALTER TABLE idempotency_key ENABLE ALWAYS TRIGGER idempotency_key_purge;
ALTER TABLE payment_intent ENABLE ALWAYS TRIGGER payment_intent_corrected;
ALTER TABLE idempotency_key ENABLE ALWAYS TRIGGER idempotency_key_free;
ALTER TABLE correction ENABLE ALWAYS TRIGGER no_update;
