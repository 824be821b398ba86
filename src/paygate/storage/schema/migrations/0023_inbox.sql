-- outside a transaction
-- The events that an earlier version ignored, for it knew nothing to make of their type: a version
-- that does finds them by it, and nothing else is looked at.

CREATE INDEX CONCURRENTLY provider_event_without_handler
    ON provider_event (type_index, updated_at, merchant, id)
    WHERE status = 'ignored' AND verdict = 'no_handler';

-- The body of an event that came to its end may go after a while; no other ever does. One trigger
-- says so, under its old name: who makes a month moves its rows, and puts that one aside.
CREATE OR REPLACE FUNCTION keep_provider_event_body() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.received_at < clock_timestamp() - interval '7 days' THEN
        PERFORM FROM provider_event e
        WHERE e.merchant = OLD.merchant AND e.id = OLD.id
          AND e.status NOT IN ('processed', 'ignored', 'stale');
        IF NOT FOUND THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION '% is append-only, until its event has ended and is old', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

DO $$
BEGIN
    PERFORM set_config('lock_timeout', '200ms', true);
    LOOP
        BEGIN
            CREATE OR REPLACE TRIGGER no_update BEFORE UPDATE OR DELETE ON provider_event_body
                FOR EACH ROW EXECUTE FUNCTION keep_provider_event_body();
            ALTER TABLE provider_event_body ENABLE ALWAYS TRIGGER no_update;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.5);  -- commits go on meanwhile
        END;
    END LOOP;
END $$;
