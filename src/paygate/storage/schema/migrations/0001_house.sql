-- The frame of the house: one installation, its merchants, and the records of a payment.
--
-- In clear stands only what this schema must enforce or search: ids, states, versions, times
-- and keyed hashes (`*_index`). All else is in `sealed`, under keys that are never here.
-- Every key starts with the merchant, so that the tables can be distributed by merchant.
-- No foreign keys on the money path: a child is only ever written in the commit that advances
-- its intent, and the check would cost a look-up for each row.

CREATE TABLE installation (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    id         text NOT NULL,
    livemode   boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE merchant (
    id         text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE keyset (
    purpose    text PRIMARY KEY,
    wrapped    bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE payment_intent (
    merchant   text NOT NULL,
    id         text NOT NULL,
    version    integer NOT NULL,
    status     text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    sealed     bytea NOT NULL,
    PRIMARY KEY (merchant, id)
);

CREATE TABLE attempt (
    merchant      text NOT NULL,
    id            text NOT NULL,
    version       integer NOT NULL,
    intent        text NOT NULL,
    number        integer NOT NULL,
    operation     text NOT NULL,
    state         text NOT NULL,
    first_sent_at timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    sealed        bytea NOT NULL,
    PRIMARY KEY (merchant, id),
    UNIQUE (merchant, intent, number)
);
-- An open attempt is the sweep's safety net, and there is one at most.
CREATE UNIQUE INDEX attempt_open ON attempt (merchant, intent)
    WHERE state IN ('started', 'unknown', 'pending', 'action_required');
-- One intent, one approval.
CREATE UNIQUE INDEX attempt_approved ON attempt (merchant, intent)
    WHERE operation = 'confirm' AND state = 'approved';

CREATE TABLE idempotency_key (
    merchant   text NOT NULL,
    id         text NOT NULL,
    version    integer NOT NULL,
    state      text NOT NULL CHECK (state IN ('working', 'finished')),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    sealed     bytea NOT NULL,
    PRIMARY KEY (merchant, id)
);

CREATE TABLE provider_event (
    merchant        text NOT NULL,
    id              text NOT NULL,
    version         integer NOT NULL,
    status          text NOT NULL,
    reference_index bytea NOT NULL,
    received_at     timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    sealed          bytea NOT NULL,
    PRIMARY KEY (merchant, id),
    UNIQUE (merchant, reference_index)
);

CREATE TABLE event (
    merchant   text NOT NULL,
    id         text NOT NULL,
    object_id  text NOT NULL,
    created_at timestamptz NOT NULL,
    sealed     bytea NOT NULL,
    PRIMARY KEY (merchant, id)
);

CREATE TABLE audit_entry (
    merchant text NOT NULL,
    id       text NOT NULL,
    at       timestamptz NOT NULL,
    sealed   bytea NOT NULL,
    PRIMARY KEY (merchant, id)
);

CREATE TABLE api_key (
    merchant   text NOT NULL,
    id         text NOT NULL,
    version    integer NOT NULL,
    secret_hash bytea NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    sealed     bytea NOT NULL,
    PRIMARY KEY (merchant, id)
);
CREATE UNIQUE INDEX api_key_id ON api_key (id);

-- Sealed bytes do not compress, so TOAST is told not to try.
ALTER TABLE payment_intent  ALTER COLUMN sealed SET STORAGE EXTERNAL;
ALTER TABLE attempt         ALTER COLUMN sealed SET STORAGE EXTERNAL;
ALTER TABLE idempotency_key ALTER COLUMN sealed SET STORAGE EXTERNAL;
ALTER TABLE provider_event  ALTER COLUMN sealed SET STORAGE EXTERNAL;
ALTER TABLE event           ALTER COLUMN sealed SET STORAGE EXTERNAL;
ALTER TABLE audit_entry     ALTER COLUMN sealed SET STORAGE EXTERNAL;
ALTER TABLE api_key         ALTER COLUMN sealed SET STORAGE EXTERNAL;

-- What the schema can refuse, it refuses. A refusal here is a bug of ours or a hand in the
-- database; the flows' own guards answer long before. All are ALWAYS: replica mode is no way round.

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE FUNCTION check_new_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version <> 1 THEN
        RAISE EXCEPTION '% must begin at version 1', TG_TABLE_NAME
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION check_next_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version <> OLD.version + 1 OR NEW.merchant <> OLD.merchant OR NEW.id <> OLD.id THEN
        RAISE EXCEPTION '% must advance by one version and keep its key', TG_TABLE_NAME
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

-- The table of domain/payment_intent.py, by status; a test holds the two together.
CREATE FUNCTION check_payment_intent_status() RETURNS trigger LANGUAGE plpgsql AS $$
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
        ELSE false END) THEN
        RAISE EXCEPTION 'a payment intent that is % cannot become %', OLD.status, NEW.status
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION check_attempt_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state NOT IN ('started', 'unknown', 'pending', 'action_required') THEN
        RAISE EXCEPTION 'an attempt that is % stays so', OLD.state
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER payment_intent_status BEFORE INSERT OR UPDATE ON payment_intent
    FOR EACH ROW EXECUTE FUNCTION check_payment_intent_status();
CREATE TRIGGER attempt_state BEFORE UPDATE ON attempt
    FOR EACH ROW EXECUTE FUNCTION check_attempt_state();
ALTER TABLE payment_intent ENABLE ALWAYS TRIGGER payment_intent_status;
ALTER TABLE attempt ENABLE ALWAYS TRIGGER attempt_state;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['payment_intent', 'attempt', 'idempotency_key', 'provider_event', 'api_key'] LOOP
        EXECUTE format('CREATE TRIGGER version_one BEFORE INSERT ON %I
                        FOR EACH ROW EXECUTE FUNCTION check_new_record()', name);
        EXECUTE format('CREATE TRIGGER version_next BEFORE UPDATE ON %I
                        FOR EACH ROW EXECUTE FUNCTION check_next_version()', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER version_one', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER version_next', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['event', 'audit_entry'] LOOP
        EXECUTE format('CREATE TRIGGER no_update BEFORE UPDATE OR DELETE ON %I
                        FOR EACH ROW EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER no_update', name);
    END LOOP;
    -- Payments are never deleted, and nothing here is ever truncated.
    FOREACH name IN ARRAY ARRAY['payment_intent', 'attempt'] LOOP
        EXECUTE format('CREATE TRIGGER no_delete BEFORE DELETE ON %I
                        FOR EACH ROW EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER no_delete', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['payment_intent', 'attempt', 'event', 'audit_entry', 'idempotency_key',
                                'provider_event', 'api_key', 'installation', 'merchant', 'keyset'] LOOP
        EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER no_truncate', name);
    END LOOP;
END $$;
