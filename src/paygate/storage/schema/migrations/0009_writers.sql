-- Which versions may write here, and what else the schema can refuse.
--
-- A version is known by the newest migration that it carries; its connections announce the number
-- (`paygate.writer`). A later migration that older code must not write beside replaces
-- `lowest_writer()`: that takes no lock, and a node below it is refused from the next statement on.

CREATE FUNCTION lowest_writer() RETURNS integer LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN 9;
END $$;

CREATE FUNCTION check_writer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(nullif(current_setting('paygate.writer', true), '')::integer, 0) < lowest_writer() THEN
        RAISE EXCEPTION 'this database takes no writes of paygate before version %', lowest_writer()
            USING ERRCODE = 'PGW01',
                  HINT = 'Run the newer version. By hand: docs/upgrades.md says how, and why not.';
    END IF;
    RETURN NULL;
END $$;

-- For every table that is made later, too; a test finds one that was forgotten.
CREATE PROCEDURE keep_older_writers_out(place regclass) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER a_writer BEFORE INSERT OR UPDATE OR DELETE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION check_writer()', place);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER a_writer', place);
END $$;

DO $$
DECLARE
    place regclass;
BEGIN
    FOR place IN
        SELECT oid FROM pg_class
        WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
          AND relname <> 'schema_migration' AND NOT starts_with(relname, 'pgqueuer')
        ORDER BY relname
    LOOP
        CALL keep_older_writers_out(place);
    END LOOP;
END $$;

-- What a row shows by itself stands in a trigger's WHEN, which costs a tenth of a microsecond; the
-- function is called for what is refused alone. Blind indexes may change: their key is rotated.

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE TRIGGER attempt_begins BEFORE INSERT ON attempt FOR EACH ROW
    WHEN (NEW.state <> 'started')
    EXECUTE FUNCTION refuse('an attempt begins as started');
CREATE TRIGGER attempt_keeps BEFORE UPDATE ON attempt FOR EACH ROW
    WHEN (NEW.intent <> OLD.intent OR NEW.number <> OLD.number OR NEW.operation <> OLD.operation
          OR NEW.first_sent_at <> OLD.first_sent_at)
    EXECUTE FUNCTION refuse('an attempt keeps its intent, number, operation and first sending');
CREATE TRIGGER payment_intent_keeps BEFORE UPDATE ON payment_intent FOR EACH ROW
    WHEN (NEW.created_at <> OLD.created_at OR NEW.customer IS DISTINCT FROM OLD.customer)
    EXECUTE FUNCTION refuse('a payment intent keeps its customer and the time when it was created');
CREATE TRIGGER payment_intent_paid BEFORE UPDATE ON payment_intent FOR EACH ROW
    WHEN (NEW.status = 'succeeded' AND OLD.status <> 'succeeded' AND NEW.money_seq = OLD.money_seq)
    EXECUTE FUNCTION refuse('a payment intent succeeds by money that moves');
CREATE TRIGGER provider_event_ends BEFORE UPDATE ON provider_event FOR EACH ROW
    WHEN (OLD.status IN ('processed', 'ignored', 'stale') AND NEW.status <> OLD.status)
    EXECUTE FUNCTION refuse('a provider event that came to its end stays there');
CREATE TRIGGER provider_event_keeps BEFORE UPDATE ON provider_event FOR EACH ROW
    WHEN (NEW.received_at <> OLD.received_at)
    EXECUTE FUNCTION refuse('a provider event keeps the time when it was received');

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['idempotency_key', 'api_key', 'customer', 'alert'] LOOP
        EXECUTE format('CREATE TRIGGER keeps BEFORE UPDATE ON %I FOR EACH ROW
                        WHEN (NEW.created_at <> OLD.created_at) EXECUTE FUNCTION
                        refuse(''a record keeps the time when it was created'')', name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER keeps', name);
    END LOOP;
END $$;

-- An intent and its attempts belong together. After the statement, when all its rows are there.

CREATE FUNCTION check_attempt_place() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM payment_intent i WHERE i.merchant = NEW.merchant AND i.id = NEW.intent
                   AND i.status IN ('processing', 'requires_action', 'requires_capture')) THEN
        RAISE EXCEPTION 'an attempt is open under a payment intent that is under way, and no other'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION check_attempts_of_intent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.status = 'processing') <> EXISTS (
        SELECT FROM attempt a WHERE a.merchant = NEW.merchant AND a.intent = NEW.id
        AND a.state IN ('started', 'unknown', 'pending', 'action_required')) THEN
        RAISE EXCEPTION 'a payment intent begins with an open attempt, and ends without one'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER attempt_place AFTER INSERT ON attempt
    FOR EACH ROW EXECUTE FUNCTION check_attempt_place();
CREATE TRIGGER attempt_place_again AFTER UPDATE ON attempt FOR EACH ROW
    WHEN (OLD.state NOT IN ('started', 'unknown', 'pending', 'action_required')
          AND NEW.state IN ('started', 'unknown', 'pending', 'action_required'))
    EXECUTE FUNCTION check_attempt_place();
CREATE TRIGGER payment_intent_attempts AFTER UPDATE ON payment_intent FOR EACH ROW
    WHEN ((OLD.status = 'created' AND NEW.status = 'processing')
          OR (OLD.status NOT IN ('succeeded', 'failed', 'cancelled', 'refunded')
              AND NEW.status IN ('succeeded', 'failed', 'cancelled', 'refunded')))
    EXECUTE FUNCTION check_attempts_of_intent();

ALTER TABLE attempt ENABLE ALWAYS TRIGGER attempt_begins;
ALTER TABLE attempt ENABLE ALWAYS TRIGGER attempt_keeps;
ALTER TABLE attempt ENABLE ALWAYS TRIGGER attempt_place;
ALTER TABLE attempt ENABLE ALWAYS TRIGGER attempt_place_again;
ALTER TABLE payment_intent ENABLE ALWAYS TRIGGER payment_intent_keeps;
ALTER TABLE payment_intent ENABLE ALWAYS TRIGGER payment_intent_paid;
ALTER TABLE payment_intent ENABLE ALWAYS TRIGGER payment_intent_attempts;
ALTER TABLE provider_event ENABLE ALWAYS TRIGGER provider_event_ends;
ALTER TABLE provider_event ENABLE ALWAYS TRIGGER provider_event_keeps;
