-- Disputes: several to a payment intent, decided at the provider. What they do to the money is the
-- ledger's; here is how far each has come, and which are looked at by the clock.

CREATE TABLE dispute (
    merchant                 text NOT NULL,
    id                       text NOT NULL,
    version                  integer NOT NULL,
    intent                   text NOT NULL,
    status                   text NOT NULL,
    created_at               timestamptz NOT NULL,
    updated_at               timestamptz NOT NULL,
    is_watched               boolean NOT NULL,
    answer_due_at       timestamptz,
    pending_operation        text,
    provider_reference_index bytea NOT NULL,
    sealed                   bytea NOT NULL,
    PRIMARY KEY (merchant, id)
);
ALTER TABLE dispute ALTER COLUMN sealed SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX dispute_provider_reference ON dispute (provider_reference_index);
-- Ids are made from the provider's, so that they tell nothing of a dispute's age.
CREATE INDEX dispute_of_intent ON dispute (merchant, intent, created_at, id);
CREATE INDEX dispute_by_age ON dispute (merchant, created_at, id);
CREATE INDEX dispute_watched ON dispute (merchant, id) WHERE is_watched;
CREATE INDEX dispute_awaiting_evidence ON dispute (answer_due_at, merchant, id)
    WHERE answer_due_at IS NOT NULL;
CREATE INDEX dispute_pending ON dispute (updated_at, merchant, id)
    WHERE pending_operation IS NOT NULL;

CREATE TRIGGER dispute_status BEFORE UPDATE ON dispute FOR EACH ROW
    WHEN (NEW.status LIKE 'warning\_%' AND OLD.status NOT LIKE 'warning\_%')
    EXECUTE FUNCTION refuse('a chargeback never becomes an inquiry');
CREATE TRIGGER dispute_keeps BEFORE UPDATE ON dispute FOR EACH ROW
    WHEN (NEW.intent <> OLD.intent OR NEW.created_at <> OLD.created_at)
    EXECUTE FUNCTION refuse('a dispute keeps its payment intent and the time when it was recorded');
CREATE TRIGGER version_one BEFORE INSERT ON dispute
    FOR EACH ROW EXECUTE FUNCTION check_new_record();
CREATE TRIGGER version_next BEFORE UPDATE ON dispute
    FOR EACH ROW EXECUTE FUNCTION check_next_version();
CREATE TRIGGER no_delete BEFORE DELETE ON dispute
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON dispute
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE dispute ENABLE ALWAYS TRIGGER dispute_status;
ALTER TABLE dispute ENABLE ALWAYS TRIGGER dispute_keeps;
ALTER TABLE dispute ENABLE ALWAYS TRIGGER version_one;
ALTER TABLE dispute ENABLE ALWAYS TRIGGER version_next;
ALTER TABLE dispute ENABLE ALWAYS TRIGGER no_delete;
ALTER TABLE dispute ENABLE ALWAYS TRIGGER no_truncate;
CALL keep_older_writers_out('dispute');
