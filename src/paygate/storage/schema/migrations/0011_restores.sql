-- What is known of restores. A database that was put back to an earlier moment has forgotten payments
-- that the provider remembers: until the intents of before are final, a confirm looks first.

-- Which server this is, and on which of its timelines: another one than before is a restore, or a standby
-- that took over.
ALTER TABLE installation
    ADD COLUMN system_identifier text,
    ADD COLUMN timeline          text;

-- `taken_at` is the newest moment that the database remembered when it was noticed.
CREATE TABLE database_restore (
    noticed_at timestamptz PRIMARY KEY,
    taken_at   timestamptz NOT NULL,
    cause      text NOT NULL CHECK (cause IN ('declared', 'timeline'))
);
CREATE TRIGGER no_update BEFORE UPDATE OR DELETE ON database_restore
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON database_restore
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE database_restore ENABLE ALWAYS TRIGGER no_update;
ALTER TABLE database_restore ENABLE ALWAYS TRIGGER no_truncate;
CALL keep_older_writers_out('database_restore');

-- Attempts and payment intents have what an older version would leave out.
CREATE OR REPLACE FUNCTION lowest_writer() RETURNS integer LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN 11;
END $$;
