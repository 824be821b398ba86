-- Settlements: one a payout of the provider's. Lines are sealed in pages of many; beside them stands in
-- clear which line is on which page, and which record of ours it settles. Both are append-only: what a
-- person decides of a line is a row of its own.

CREATE TABLE settlement (
    merchant                 text NOT NULL,
    id                       text NOT NULL,
    version                  integer NOT NULL,
    status                   text NOT NULL,
    matching                 text NOT NULL,
    is_open                  boolean NOT NULL,
    created_at               timestamptz NOT NULL,
    updated_at               timestamptz NOT NULL,
    provider_reference_index bytea NOT NULL,
    sealed                   bytea NOT NULL,
    PRIMARY KEY (merchant, id)
);
ALTER TABLE settlement ALTER COLUMN sealed SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX settlement_provider_reference ON settlement (provider_reference_index);
CREATE INDEX settlement_open ON settlement (merchant, id) WHERE is_open;

CREATE FUNCTION check_settlement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT OLD.is_open THEN
        RAISE EXCEPTION 'a settlement that is closed stays as it is'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.created_at <> OLD.created_at THEN
        RAISE EXCEPTION 'a settlement keeps the time when it was made'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER settlement_stays BEFORE UPDATE ON settlement
    FOR EACH ROW EXECUTE FUNCTION check_settlement();

CREATE TABLE settlement_page (
    merchant   text NOT NULL,
    id         text NOT NULL,
    version    integer NOT NULL CHECK (version > 0),
    created_at timestamptz NOT NULL,
    sealed     bytea NOT NULL,
    PRIMARY KEY (merchant, id, version)
);
ALTER TABLE settlement_page ALTER COLUMN sealed SET STORAGE EXTERNAL;

-- A line's id is a keyed hash of the provider's own, so that a line is there once, whoever brings it.
CREATE TABLE settlement_line (
    merchant   text NOT NULL,
    id         text NOT NULL,
    settlement text NOT NULL,
    page       integer NOT NULL,
    place      smallint NOT NULL,
    fact       text,
    suspect    boolean NOT NULL,
    PRIMARY KEY (merchant, id)
);
CREATE INDEX settlement_line_fact ON settlement_line (merchant, fact) WHERE fact IS NOT NULL;
CREATE INDEX settlement_line_suspect ON settlement_line (merchant, settlement, page, place)
    WHERE suspect;

CREATE TABLE settlement_match (
    merchant   text NOT NULL,
    id         text NOT NULL,
    settlement text NOT NULL,
    fact       text,
    created_at timestamptz NOT NULL,
    sealed     bytea NOT NULL,
    PRIMARY KEY (merchant, id)
);
CREATE INDEX settlement_match_of ON settlement_match (merchant, settlement, id);
CREATE INDEX settlement_match_fact ON settlement_match (merchant, fact) WHERE fact IS NOT NULL;

CREATE TABLE discrepancy (
    merchant       text NOT NULL,
    id             text NOT NULL,
    version        integer NOT NULL,
    kind           text NOT NULL,
    status         text NOT NULL,
    settlement     text,
    payment_intent text,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    sealed         bytea NOT NULL,
    PRIMARY KEY (merchant, id)
);
ALTER TABLE discrepancy ALTER COLUMN sealed SET STORAGE EXTERNAL;
-- Ids are made from what a discrepancy is about, so that they tell nothing of its age.
CREATE INDEX discrepancy_by_age ON discrepancy (merchant, created_at, id);
CREATE INDEX discrepancy_of_settlement ON discrepancy (merchant, settlement, created_at, id)
    WHERE settlement IS NOT NULL;
CREATE INDEX discrepancy_of_payment ON discrepancy (merchant, payment_intent, created_at, id)
    WHERE payment_intent IS NOT NULL;
CREATE INDEX discrepancy_open ON discrepancy (merchant, created_at, id) WHERE status = 'open';

CREATE FUNCTION check_discrepancy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.kind <> OLD.kind OR NEW.created_at <> OLD.created_at
            OR NEW.settlement IS DISTINCT FROM OLD.settlement
            OR NEW.payment_intent IS DISTINCT FROM OLD.payment_intent
            OR (OLD.status = 'resolved' AND NEW.status <> 'resolved')
            OR (OLD.status = 'explained' AND NEW.status = 'open') THEN
        RAISE EXCEPTION 'a discrepancy keeps what it is about, and what was decided of it'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER discrepancy_keeps BEFORE UPDATE ON discrepancy
    FOR EACH ROW EXECUTE FUNCTION check_discrepancy();

CREATE TABLE settlement_import (
    merchant     text NOT NULL,
    id           text NOT NULL,
    version      integer NOT NULL,
    status       text NOT NULL,
    content_hash bytea NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    sealed       bytea NOT NULL,
    PRIMARY KEY (merchant, id)
);
ALTER TABLE settlement_import ALTER COLUMN sealed SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX settlement_import_content ON settlement_import (merchant, content_hash);
CREATE INDEX settlement_import_running ON settlement_import (merchant, id) WHERE status = 'running';

-- Reports that wait to be read; deleted when they are.
CREATE TABLE settlement_file (
    merchant   text NOT NULL,
    id         text NOT NULL,
    version    integer NOT NULL CHECK (version > 0),
    created_at timestamptz NOT NULL,
    sealed     bytea NOT NULL,
    PRIMARY KEY (merchant, id, version)
);
ALTER TABLE settlement_file ALTER COLUMN sealed SET STORAGE EXTERNAL;

-- What the ledger posts that belongs to no payment intent.
CREATE TABLE account_transfer (
    merchant   text NOT NULL,
    id         text NOT NULL,
    settlement text,
    posted_at  timestamptz NOT NULL,
    sealed     bytea NOT NULL,
    PRIMARY KEY (merchant, id)
);
ALTER TABLE account_transfer ALTER COLUMN sealed SET STORAGE EXTERNAL;
CREATE INDEX account_transfer_of_settlement ON account_transfer (settlement, merchant, id)
    WHERE settlement IS NOT NULL;

DO $$
DECLARE
    place text;
BEGIN
    FOREACH place IN ARRAY ARRAY['settlement', 'discrepancy', 'settlement_import'] LOOP
        EXECUTE format('CREATE TRIGGER version_one BEFORE INSERT ON %I
                        FOR EACH ROW EXECUTE FUNCTION check_new_record()', place);
        EXECUTE format('CREATE TRIGGER version_next BEFORE UPDATE ON %I
                        FOR EACH ROW EXECUTE FUNCTION check_next_version()', place);
        EXECUTE format('CREATE TRIGGER no_delete BEFORE DELETE ON %I
                        FOR EACH ROW EXECUTE FUNCTION refuse_change()', place);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER version_one', place);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER version_next', place);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER no_delete', place);
    END LOOP;
    FOREACH place IN ARRAY ARRAY['settlement_page', 'settlement_line', 'settlement_match',
                                 'account_transfer'] LOOP
        EXECUTE format('CREATE TRIGGER no_update BEFORE UPDATE OR DELETE ON %I
                        FOR EACH ROW EXECUTE FUNCTION refuse_change()', place);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER no_update', place);
    END LOOP;
    CREATE TRIGGER no_update BEFORE UPDATE ON settlement_file
        FOR EACH ROW EXECUTE FUNCTION refuse_change();
    ALTER TABLE settlement_file ENABLE ALWAYS TRIGGER no_update;
    FOREACH place IN ARRAY ARRAY['settlement', 'settlement_page', 'settlement_line',
                                 'settlement_match', 'discrepancy', 'settlement_import',
                                 'settlement_file', 'account_transfer'] LOOP
        EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', place);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER no_truncate', place);
        CALL keep_older_writers_out(place::regclass);
    END LOOP;
END $$;
ALTER TABLE settlement ENABLE ALWAYS TRIGGER settlement_stays;
ALTER TABLE discrepancy ENABLE ALWAYS TRIGGER discrepancy_keeps;
