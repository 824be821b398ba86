-- Rounds of holding our payments against the provider's, and what they found.

-- `running_as` is the claim of the one that runs; null once it has ended.
CREATE TABLE reconciliation (
    merchant   text NOT NULL,
    id         text NOT NULL,
    version    integer NOT NULL,
    status     text NOT NULL,
    running_as text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    sealed     bytea NOT NULL,
    PRIMARY KEY (merchant, id)
);
CREATE UNIQUE INDEX reconciliation_running ON reconciliation (merchant, running_as);

-- The id is derived from what was found: a round says it once.
CREATE TABLE reconciliation_finding (
    merchant       text NOT NULL,
    id             text NOT NULL,
    reconciliation text NOT NULL,
    kind           text NOT NULL,
    action         text NOT NULL,
    created_at     timestamptz NOT NULL,
    sealed         bytea NOT NULL,
    PRIMARY KEY (merchant, id)
);
CREATE INDEX reconciliation_finding_of ON reconciliation_finding (merchant, reconciliation, id);

ALTER TABLE reconciliation ALTER COLUMN sealed SET STORAGE EXTERNAL;
ALTER TABLE reconciliation_finding ALTER COLUMN sealed SET STORAGE EXTERNAL;

CREATE TRIGGER version_one BEFORE INSERT ON reconciliation
    FOR EACH ROW EXECUTE FUNCTION check_new_record();
CREATE TRIGGER version_next BEFORE UPDATE ON reconciliation
    FOR EACH ROW EXECUTE FUNCTION check_next_version();
CREATE TRIGGER reconciliation_ended BEFORE UPDATE ON reconciliation FOR EACH ROW
    WHEN (OLD.status <> 'running' OR NEW.created_at <> OLD.created_at)
    EXECUTE FUNCTION refuse('a reconciliation that has ended stays as it is');
CREATE TRIGGER no_update BEFORE UPDATE OR DELETE ON reconciliation_finding
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON reconciliation
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON reconciliation_finding
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE reconciliation ENABLE ALWAYS TRIGGER version_one;
ALTER TABLE reconciliation ENABLE ALWAYS TRIGGER version_next;
ALTER TABLE reconciliation ENABLE ALWAYS TRIGGER reconciliation_ended;
ALTER TABLE reconciliation ENABLE ALWAYS TRIGGER no_truncate;
ALTER TABLE reconciliation_finding ENABLE ALWAYS TRIGGER no_update;
ALTER TABLE reconciliation_finding ENABLE ALWAYS TRIGGER no_truncate;
CALL keep_older_writers_out('reconciliation');
CALL keep_older_writers_out('reconciliation_finding');
