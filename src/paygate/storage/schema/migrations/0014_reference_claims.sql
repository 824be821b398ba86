-- One order, one payment. `id` is a keyed hash of a merchant's reference; whoever wants to be the one
-- payment of it advances the claim that it saw, or is the first to make it.
CREATE TABLE reference_claim (
    merchant   text NOT NULL,
    id         text NOT NULL,
    version    integer NOT NULL,
    updated_at timestamptz NOT NULL,
    sealed     bytea NOT NULL,
    PRIMARY KEY (merchant, id)
);
ALTER TABLE reference_claim ALTER COLUMN sealed SET STORAGE EXTERNAL;

CREATE TRIGGER version_one BEFORE INSERT ON reference_claim
    FOR EACH ROW EXECUTE FUNCTION check_new_record();
CREATE TRIGGER version_next BEFORE UPDATE ON reference_claim
    FOR EACH ROW EXECUTE FUNCTION check_next_version();
CREATE TRIGGER no_delete BEFORE DELETE ON reference_claim
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON reference_claim
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE reference_claim ENABLE ALWAYS TRIGGER version_one;
ALTER TABLE reference_claim ENABLE ALWAYS TRIGGER version_next;
ALTER TABLE reference_claim ENABLE ALWAYS TRIGGER no_delete;
ALTER TABLE reference_claim ENABLE ALWAYS TRIGGER no_truncate;
CALL keep_older_writers_out('reference_claim');

-- Volatile, so that it looks with a snapshot of its own and not with that of the statement which
-- calls it: it sees what was committed since that began.
CREATE FUNCTION reference_claim_exists(text, text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN EXISTS (SELECT FROM reference_claim WHERE merchant = $1 AND id = $2);
END $$;
