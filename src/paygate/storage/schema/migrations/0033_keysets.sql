-- Keys are rotated: what is known of each key, and the one update that every trigger lets through.
--
-- A keyset is never written over unnoticed: each edit takes the next generation, and is told to every
-- process at once.

ALTER TABLE keyset ADD COLUMN generation integer NOT NULL DEFAULT 1;

-- Of each key, when it was added, when it became the primary, since when nothing is left under any
-- other, and when it was given up. A key of before is as old as its keyset, and has a row from the
-- first edit on.
CREATE TABLE keyset_key (
    purpose     text NOT NULL,
    key         bigint NOT NULL,
    added_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    promoted_at timestamptz,
    sealed_at   timestamptz,
    retired_at  timestamptz,
    PRIMARY KEY (purpose, key)
);

CREATE FUNCTION check_keyset() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.purpose <> OLD.purpose OR NEW.created_at <> OLD.created_at
       OR NEW.generation <> OLD.generation + 1 THEN
        RAISE EXCEPTION 'a keyset goes one generation on, and keeps its purpose and its time'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION check_keyset_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.purpose <> OLD.purpose OR NEW.key <> OLD.key OR NEW.added_at <> OLD.added_at THEN
        RAISE EXCEPTION 'a key keeps its id and the time when it was added'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION tell_keyset() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('paygate_keyset', '');
    RETURN NULL;
END $$;

CREATE TRIGGER keyset_goes_on BEFORE UPDATE ON keyset
    FOR EACH ROW EXECUTE FUNCTION check_keyset();
CREATE TRIGGER keyset_told AFTER INSERT OR UPDATE ON keyset
    FOR EACH STATEMENT EXECUTE FUNCTION tell_keyset();
CREATE TRIGGER keyset_key_keeps BEFORE UPDATE ON keyset_key
    FOR EACH ROW EXECUTE FUNCTION check_keyset_key();
CREATE TRIGGER no_delete BEFORE DELETE ON keyset_key
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON keyset_key
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE keyset ENABLE ALWAYS TRIGGER keyset_goes_on;
ALTER TABLE keyset ENABLE ALWAYS TRIGGER keyset_told;
ALTER TABLE keyset_key ENABLE ALWAYS TRIGGER keyset_key_keeps;
ALTER TABLE keyset_key ENABLE ALWAYS TRIGGER no_delete;
ALTER TABLE keyset_key ENABLE ALWAYS TRIGGER no_truncate;
CALL keep_older_writers_out('keyset_key');

-- Whether two versions of a row differ in their seal alone, and that by its key: what a record that is
-- sealed anew under another key looks like. The first byte is Tink's, the next four are the key's id; nothing sealed is shorter than 45.
CREATE FUNCTION is_sealed_anew(before record, after record) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    seal bytea := after.sealed;
BEGIN
    IF length(seal) < 45 OR length(seal) <> length(before.sealed) OR substr(seal, 1, 1) <> '\x01'
       OR substr(seal, 1, 5) = substr(before.sealed, 1, 5) THEN
        RETURN false;
    END IF;
    after.sealed := before.sealed;
    RETURN after IS NOT DISTINCT FROM before;
END $$;

-- Functions that refuse something of a row that stays as it is, each as it was defined last, and with
-- that question before it. Where a table has no seal, the question is not asked.

CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND TG_LEVEL = 'ROW' AND EXISTS (
            SELECT FROM pg_attribute a WHERE a.attrelid = TG_RELID AND a.attname = 'sealed') THEN
        IF is_sealed_anew(OLD, NEW) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND TG_LEVEL = 'ROW' AND EXISTS (
            SELECT FROM pg_attribute a WHERE a.attrelid = TG_RELID AND a.attname = 'sealed') THEN
        IF is_sealed_anew(OLD, NEW) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE OR REPLACE FUNCTION check_next_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version <> OLD.version + 1 OR NEW.merchant <> OLD.merchant OR NEW.id <> OLD.id THEN
        IF NEW.version = OLD.version AND is_sealed_anew(OLD, NEW) THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION '% must advance by one version and keep its key', TG_TABLE_NAME
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION check_payment_intent_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'created' OR NEW.money_seq <> 0 THEN
            RAISE EXCEPTION 'a payment intent begins as created, and without money'
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    ELSIF NEW.version = OLD.version AND is_sealed_anew(OLD, NEW) THEN
        RETURN NEW;
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

CREATE OR REPLACE FUNCTION check_attempt_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version = OLD.version AND is_sealed_anew(OLD, NEW) THEN
        RETURN NEW;
    END IF;
    IF OLD.state NOT IN ('started', 'unknown', 'pending', 'action_required')
       AND NOT (OLD.state = 'not_sent' AND NEW.state <> 'not_sent')
       AND NOT (NEW.state = OLD.state AND NEW.close_at IS NOT DISTINCT FROM OLD.close_at
                AND is_of_erased_customer(NEW.merchant, NEW.intent)) THEN
        RAISE EXCEPTION 'an attempt that is % stays so', OLD.state
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

-- A key that is sealed anew is leased no longer for it, and nobody is told.
CREATE OR REPLACE FUNCTION check_idempotency_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.version = OLD.version AND is_sealed_anew(OLD, NEW) THEN
            RETURN NEW;
        END IF;
        IF OLD.state = 'finished'
           AND NOT (NEW.state = OLD.state AND NEW.holder = OLD.holder AND NEW.lease IS NULL
                    AND NEW.about = coalesce(OLD.about, NEW.about)
                    AND is_of_erased_customer(NEW.merchant, NEW.about)) THEN
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

CREATE OR REPLACE FUNCTION tell_idempotency_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version <> OLD.version THEN
        PERFORM pg_notify('paygate_idempotency_key', NEW.id);
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION check_alert_occurrence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version = OLD.version AND is_sealed_anew(OLD, NEW) THEN
        RETURN NEW;
    END IF;
    IF NEW.version <> 2 OR NEW.at <> OLD.at THEN
        RAISE EXCEPTION 'an occurrence is counted once, and keeps its time'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION check_webhook_endpoint() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version = OLD.version AND is_sealed_anew(OLD, NEW) THEN
        RETURN NEW;
    END IF;
    IF OLD.status = 'deleted' OR NEW.created_at <> OLD.created_at THEN
        RAISE EXCEPTION 'a webhook endpoint that is deleted stays so, and each keeps its time'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION check_delivery() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.merchant <> OLD.merchant OR NEW.id <> OLD.id OR NEW.endpoint <> OLD.endpoint
       OR NEW.event <> OLD.event OR NEW.created_at <> OLD.created_at THEN
        RAISE EXCEPTION 'a delivery keeps its endpoint, its event and its time'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.version = OLD.version + 1 THEN
        NEW.leased_until := NULL;
        NEW.run := NULL;
    ELSIF NEW.sealed <> OLD.sealed AND is_sealed_anew(OLD, NEW) THEN
        RETURN NEW;
    ELSIF NEW.version <> OLD.version OR NEW.status <> OLD.status OR NEW.sealed <> OLD.sealed
          OR NEW.next_attempt_at IS DISTINCT FROM OLD.next_attempt_at THEN
        RAISE EXCEPTION 'a delivery must advance by one version'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION check_refund() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.version = OLD.version AND is_sealed_anew(OLD, NEW) THEN
        RETURN NEW;
    END IF;
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

CREATE OR REPLACE FUNCTION check_settlement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version = OLD.version AND is_sealed_anew(OLD, NEW) THEN
        RETURN NEW;
    END IF;
    IF NOT OLD.is_open THEN
        RAISE EXCEPTION 'a settlement that is closed stays as it is'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.created_at <> OLD.created_at THEN
        RAISE EXCEPTION 'a settlement keeps the time when it was made'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION keep_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF is_sealed_anew(OLD, NEW)
           OR (to_jsonb(NEW) - 'sealed' = to_jsonb(OLD) - 'sealed'
               AND is_of_erased_customer(OLD.merchant, OLD.object_id)) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE OR REPLACE FUNCTION keep_provider_event_body() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    event provider_event;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF is_sealed_anew(OLD, NEW) THEN
            RETURN NEW;
        END IF;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT * INTO event FROM provider_event e
        WHERE e.merchant = OLD.merchant AND e.id = OLD.id;
        IF coalesce(event.status, 'ignored') IN ('processed', 'ignored', 'stale')
           AND OLD.received_at < clock_timestamp() - interval '7 days' THEN
            RETURN OLD;
        END IF;
        IF event.status IN ('processed', 'ignored', 'stale', 'dead_letter')
           AND is_of_erased_customer(NULL, event.subject) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION '% is append-only, until its event has ended and is old or its customer erased',
        TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
