-- What a person must see, written in the commit of the fact that it tells of; its alert counts it
-- afterwards. So a fact never waits for the one row that all alike would advance, and no crash between
-- the two loses an alert.

-- It is counted once: version 1 is an occurrence that waits for that, version 2 is its last.
CREATE TABLE alert_occurrence (
    merchant text NOT NULL,
    id       text NOT NULL,
    version  integer NOT NULL,
    at       timestamptz NOT NULL,
    sealed   bytea NOT NULL,
    PRIMARY KEY (merchant, id)
);
ALTER TABLE alert_occurrence ALTER COLUMN sealed SET STORAGE EXTERNAL;
-- For those whose job was lost.
CREATE INDEX alert_occurrence_waiting ON alert_occurrence (at, merchant, id) WHERE version = 1;

-- Closed alerts are kept for ever: what looks for the others goes past none of them.
CREATE INDEX alert_standing ON alert (merchant, id) WHERE stands_as IS NOT NULL;

CREATE FUNCTION check_alert_occurrence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version <> 2 OR NEW.at <> OLD.at THEN
        RAISE EXCEPTION 'an occurrence is counted once, and keeps its time'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER alert_occurrence_counted BEFORE UPDATE ON alert_occurrence
    FOR EACH ROW EXECUTE FUNCTION check_alert_occurrence();
CREATE TRIGGER version_one BEFORE INSERT ON alert_occurrence
    FOR EACH ROW EXECUTE FUNCTION check_new_record();
CREATE TRIGGER version_next BEFORE UPDATE ON alert_occurrence
    FOR EACH ROW EXECUTE FUNCTION check_next_version();
CREATE TRIGGER no_delete BEFORE DELETE ON alert_occurrence
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON alert_occurrence
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE alert_occurrence ENABLE ALWAYS TRIGGER alert_occurrence_counted;
ALTER TABLE alert_occurrence ENABLE ALWAYS TRIGGER version_one;
ALTER TABLE alert_occurrence ENABLE ALWAYS TRIGGER version_next;
ALTER TABLE alert_occurrence ENABLE ALWAYS TRIGGER no_delete;
ALTER TABLE alert_occurrence ENABLE ALWAYS TRIGGER no_truncate;
