-- Files that are evidence in disputes, in sealed chunks; `version` counts those of a file. A file is
-- one when its dispute's record names it. What no record names any more, or never did, is deleted.

CREATE TABLE dispute_file (
    merchant   text NOT NULL,
    id         text NOT NULL,
    version    integer NOT NULL CHECK (version > 0),
    dispute    text NOT NULL,
    created_at timestamptz NOT NULL,
    sealed     bytea NOT NULL,
    PRIMARY KEY (merchant, id, version)
);
ALTER TABLE dispute_file ALTER COLUMN sealed SET STORAGE EXTERNAL;
CREATE INDEX dispute_file_by_age ON dispute_file (created_at, merchant, id) WHERE version = 1;

CREATE TRIGGER no_update BEFORE UPDATE ON dispute_file
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON dispute_file
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE dispute_file ENABLE ALWAYS TRIGGER no_update;
ALTER TABLE dispute_file ENABLE ALWAYS TRIGGER no_truncate;
CALL keep_older_writers_out('dispute_file');
