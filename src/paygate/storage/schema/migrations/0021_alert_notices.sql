-- Which channel took which alert, and when: one row for each pair. What is not here, or is behind its
-- alert, has still to be sent.

CREATE TABLE alert_notice (
    merchant      text NOT NULL,
    id            text NOT NULL,
    version       integer NOT NULL,
    alert         text NOT NULL,
    channel       text NOT NULL,
    alert_version integer NOT NULL,
    at            timestamptz NOT NULL,
    sealed        bytea NOT NULL,
    PRIMARY KEY (merchant, id)
);
ALTER TABLE alert_notice ALTER COLUMN sealed SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX alert_notice_sent ON alert_notice (merchant, alert, channel);

CREATE FUNCTION check_alert_notice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.alert <> OLD.alert OR NEW.channel <> OLD.channel OR NEW.at < OLD.at
       OR NEW.alert_version < OLD.alert_version THEN
        RAISE EXCEPTION 'a notice stays with its alert and channel, and goes on'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER alert_notice_goes_on BEFORE UPDATE ON alert_notice
    FOR EACH ROW EXECUTE FUNCTION check_alert_notice();
CREATE TRIGGER version_one BEFORE INSERT ON alert_notice
    FOR EACH ROW EXECUTE FUNCTION check_new_record();
CREATE TRIGGER version_next BEFORE UPDATE ON alert_notice
    FOR EACH ROW EXECUTE FUNCTION check_next_version();
CREATE TRIGGER no_delete BEFORE DELETE ON alert_notice
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON alert_notice
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE alert_notice ENABLE ALWAYS TRIGGER alert_notice_goes_on;
ALTER TABLE alert_notice ENABLE ALWAYS TRIGGER version_one;
ALTER TABLE alert_notice ENABLE ALWAYS TRIGGER version_next;
ALTER TABLE alert_notice ENABLE ALWAYS TRIGGER no_delete;
ALTER TABLE alert_notice ENABLE ALWAYS TRIGGER no_truncate;
CALL keep_older_writers_out('alert_notice');
