-- Pages of lines whose report was withdrawn: they stay where they are, and stand for nothing.

CREATE TABLE settlement_withdrawn (
    merchant   text NOT NULL,
    settlement text NOT NULL,
    page       integer NOT NULL,
    PRIMARY KEY (merchant, settlement, page)
);
CREATE TRIGGER no_update BEFORE UPDATE OR DELETE ON settlement_withdrawn
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON settlement_withdrawn
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE settlement_withdrawn ENABLE ALWAYS TRIGGER no_update;
ALTER TABLE settlement_withdrawn ENABLE ALWAYS TRIGGER no_truncate;
CALL keep_older_writers_out('settlement_withdrawn');
