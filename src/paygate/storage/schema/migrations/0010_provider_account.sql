-- The provider's account that this installation's payments are at, by the provider's name. It is
-- learnt once, and never changes: payments at one account are unknown to another.
CREATE TABLE provider_account (
    merchant   text NOT NULL,
    id         text NOT NULL,
    created_at timestamptz NOT NULL,
    sealed     bytea NOT NULL,
    PRIMARY KEY (merchant, id)
);
ALTER TABLE provider_account ALTER COLUMN sealed SET STORAGE EXTERNAL;

CREATE TRIGGER no_update BEFORE UPDATE OR DELETE ON provider_account
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON provider_account
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE provider_account ENABLE ALWAYS TRIGGER no_update;
ALTER TABLE provider_account ENABLE ALWAYS TRIGGER no_truncate;
CALL keep_older_writers_out('provider_account');
