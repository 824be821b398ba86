-- What merchants are told: where to, what became of it, and how far the events were read.

CREATE TABLE webhook_endpoint (
    merchant   text NOT NULL,
    id         text NOT NULL,
    version    integer NOT NULL,
    status     text NOT NULL CHECK (status IN ('enabled', 'disabled', 'deleted')),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    sealed     bytea NOT NULL,
    PRIMARY KEY (merchant, id)
);

-- A body as it is sent, each time and to every endpoint; its id is the event's.
CREATE TABLE webhook_body (
    merchant   text NOT NULL,
    id         text NOT NULL,
    created_at timestamptz NOT NULL,
    sealed     bytea NOT NULL,
    PRIMARY KEY (merchant, id)
);

-- `leased_until` and `run` are whose it is just now, by this clock: of a worker that died, nobody's
-- soon. They are no part of the record.
CREATE TABLE delivery (
    merchant        text NOT NULL,
    id              text NOT NULL,
    version         integer NOT NULL,
    endpoint        text NOT NULL,
    event           text NOT NULL,
    status          text NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
    next_attempt_at timestamptz,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    leased_until    timestamptz,
    run             text,
    sealed          bytea NOT NULL,
    PRIMARY KEY (merchant, id),
    UNIQUE (merchant, endpoint, event)
);
CREATE INDEX delivery_of_endpoint ON delivery (merchant, endpoint, id);
CREATE INDEX delivery_due ON delivery (merchant, endpoint, next_attempt_at, id) WHERE status = 'pending';

ALTER TABLE webhook_endpoint ALTER COLUMN sealed SET STORAGE EXTERNAL;
ALTER TABLE webhook_body  ALTER COLUMN sealed SET STORAGE EXTERNAL;
ALTER TABLE delivery         ALTER COLUMN sealed SET STORAGE EXTERNAL;

-- Up to where a merchant's events were made into deliveries. No endpoint, no row, no cost.
CREATE TABLE webhook_cursor (
    merchant   text PRIMARY KEY,
    written_in xid8 NOT NULL,
    event      text NOT NULL
);

-- An endpoint that fails is left alone for a while, by every node.
CREATE TABLE webhook_pause (
    merchant     text NOT NULL,
    endpoint     text NOT NULL,
    paused_until timestamptz NOT NULL,
    failures     integer NOT NULL,
    PRIMARY KEY (merchant, endpoint)
);

CREATE FUNCTION begin_webhook_cursor() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO webhook_cursor (merchant, written_in, event)
    VALUES (NEW.merchant, pg_snapshot_xmin(pg_current_snapshot()), '') ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE FUNCTION check_webhook_endpoint() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = 'deleted' OR NEW.created_at <> OLD.created_at THEN
        RAISE EXCEPTION 'a webhook endpoint that is deleted stays so, and each keeps its time'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

-- A delivery is leased as it is, or goes one version on: then nobody has it any more.
CREATE FUNCTION check_delivery() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.merchant <> OLD.merchant OR NEW.id <> OLD.id OR NEW.endpoint <> OLD.endpoint
       OR NEW.event <> OLD.event OR NEW.created_at <> OLD.created_at THEN
        RAISE EXCEPTION 'a delivery keeps its endpoint, its event and its time'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.version = OLD.version + 1 THEN
        NEW.leased_until := NULL;
        NEW.run := NULL;
    ELSIF NEW.version <> OLD.version OR NEW.status <> OLD.status OR NEW.sealed <> OLD.sealed
          OR NEW.next_attempt_at IS DISTINCT FROM OLD.next_attempt_at THEN
        RAISE EXCEPTION 'a delivery must advance by one version'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER webhook_cursor_begins AFTER INSERT ON webhook_endpoint
    FOR EACH ROW EXECUTE FUNCTION begin_webhook_cursor();
CREATE TRIGGER webhook_endpoint_keeps BEFORE UPDATE ON webhook_endpoint
    FOR EACH ROW EXECUTE FUNCTION check_webhook_endpoint();
CREATE TRIGGER version_one BEFORE INSERT ON webhook_endpoint
    FOR EACH ROW EXECUTE FUNCTION check_new_record();
CREATE TRIGGER version_next BEFORE UPDATE ON webhook_endpoint
    FOR EACH ROW EXECUTE FUNCTION check_next_version();
CREATE TRIGGER no_delete BEFORE DELETE ON webhook_endpoint
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_update BEFORE UPDATE ON webhook_body
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER version_one BEFORE INSERT ON delivery
    FOR EACH ROW EXECUTE FUNCTION check_new_record();
CREATE TRIGGER delivery_keeps BEFORE UPDATE ON delivery
    FOR EACH ROW EXECUTE FUNCTION check_delivery();
CREATE TRIGGER delivery_due BEFORE INSERT OR UPDATE ON delivery FOR EACH ROW
    WHEN ((NEW.status = 'pending') <> (NEW.next_attempt_at IS NOT NULL))
    EXECUTE FUNCTION refuse('a delivery that is pending has its next attempt, and no other has');
CREATE TRIGGER delivery_waits BEFORE DELETE ON delivery FOR EACH ROW
    WHEN (OLD.status = 'pending')
    EXECUTE FUNCTION refuse('a delivery that is pending is never deleted');

ALTER TABLE webhook_endpoint ENABLE ALWAYS TRIGGER webhook_cursor_begins;
ALTER TABLE webhook_endpoint ENABLE ALWAYS TRIGGER webhook_endpoint_keeps;
ALTER TABLE webhook_endpoint ENABLE ALWAYS TRIGGER version_one;
ALTER TABLE webhook_endpoint ENABLE ALWAYS TRIGGER version_next;
ALTER TABLE webhook_endpoint ENABLE ALWAYS TRIGGER no_delete;
ALTER TABLE webhook_body ENABLE ALWAYS TRIGGER no_update;
ALTER TABLE delivery ENABLE ALWAYS TRIGGER version_one;
ALTER TABLE delivery ENABLE ALWAYS TRIGGER delivery_keeps;
ALTER TABLE delivery ENABLE ALWAYS TRIGGER delivery_due;
ALTER TABLE delivery ENABLE ALWAYS TRIGGER delivery_waits;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['webhook_endpoint', 'webhook_body', 'delivery', 'webhook_cursor',
                                'webhook_pause'] LOOP
        EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER no_truncate', name);
        CALL keep_older_writers_out(name::regclass);
    END LOOP;
END $$;
