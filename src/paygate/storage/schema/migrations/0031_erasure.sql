-- Erasure of a customer: what is overwritten and deleted for it, and nothing else is.
--
-- `erasure_began_at` is the licence: rows about the payments of a customer who has it may be
-- overwritten where they otherwise stay as they are. It is written once, before anything else is.

ALTER TABLE customer
    ADD COLUMN erasure_began_at timestamptz,
    ADD COLUMN erased_at        timestamptz;
ALTER TABLE customer ADD CONSTRAINT customer_erased_in_order
    CHECK (erased_at IS NULL OR erasure_began_at IS NOT NULL) NOT VALID;

CREATE TRIGGER customer_stays_erased BEFORE UPDATE ON customer FOR EACH ROW
    WHEN ((OLD.erasure_began_at IS NOT NULL
           AND NEW.erasure_began_at IS DISTINCT FROM OLD.erasure_began_at)
          OR (OLD.erased_at IS NOT NULL AND NEW.erased_at IS DISTINCT FROM OLD.erased_at))
    EXECUTE FUNCTION refuse('an erased customer stays erased');
ALTER TABLE customer ENABLE ALWAYS TRIGGER customer_stays_erased;
-- What a stored response is about: null in rows of before. It is no index, for every request
-- would pay for one that an erasure alone uses.
ALTER TABLE idempotency_key ADD COLUMN about text;

-- Whether a payment, refund or dispute is of a customer whose erasure has begun. Events of the
-- provider do not name the merchant: its `owner` is then null.
CREATE FUNCTION is_of_erased_customer(owner text, object text) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM merchant m
        JOIN LATERAL (
            SELECT object AS id
            UNION ALL SELECT r.intent FROM refund r WHERE r.merchant = m.id AND r.id = object
            UNION ALL SELECT d.intent FROM dispute d WHERE d.merchant = m.id AND d.id = object
        ) o ON true
        JOIN payment_intent p ON p.merchant = m.id AND p.id = o.id
        JOIN customer c ON c.merchant = p.merchant AND c.id = p.customer
        WHERE (owner IS NULL OR m.id = owner) AND c.erasure_began_at IS NOT NULL)
$$;

-- An attempt that is closed may lose its mandate's addresses: its state stays.
CREATE OR REPLACE FUNCTION check_attempt_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state NOT IN ('started', 'unknown', 'pending', 'action_required')
       AND NOT (OLD.state = 'not_sent' AND NEW.state <> 'not_sent')
       AND NOT (NEW.state = OLD.state AND NEW.close_at IS NOT DISTINCT FROM OLD.close_at
                AND is_of_erased_customer(NEW.merchant, NEW.intent)) THEN
        RAISE EXCEPTION 'an attempt that is % stays so', OLD.state
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

-- A finished key may lose its response, and stays finished: the request is not made again.
CREATE OR REPLACE FUNCTION check_idempotency_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
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

-- What a merchant's event seals may be written anew, and nothing else of it. The trigger keeps its
-- name, by which who makes a month puts it aside.
CREATE FUNCTION keep_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - 'sealed' = to_jsonb(OLD) - 'sealed'
       AND is_of_erased_customer(OLD.merchant, OLD.object_id) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE OR REPLACE TRIGGER no_update BEFORE UPDATE OR DELETE ON event
    FOR EACH ROW EXECUTE FUNCTION keep_event();
ALTER TABLE event ENABLE ALWAYS TRIGGER no_update;

-- The body of a provider event goes when it is old, or its customer erased; never while the event
-- waits. A dead letter's goes with the customer alone.
CREATE OR REPLACE FUNCTION keep_provider_event_body() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    event provider_event;
BEGIN
    IF TG_OP = 'DELETE' THEN
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
