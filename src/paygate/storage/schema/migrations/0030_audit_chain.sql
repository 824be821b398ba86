-- outside a transaction
-- The chain of the audit log: each entry's place and hash, in a table of its own. What is hashed, and
-- how, is in docs/audit.md.
--
-- The order is that of commits, as it is for events (0015): ids and times are drawn before. Entries of
-- before are the oldest: 0, and then by id.

DO $$
BEGIN
    ALTER TABLE audit_entry ADD COLUMN IF NOT EXISTS written_in xid8 NOT NULL DEFAULT '0';
    ALTER TABLE audit_entry ALTER COLUMN written_in SET DEFAULT pg_current_xact_id();
END $$;

CREATE INDEX CONCURRENTLY audit_entry_in_order ON audit_entry (written_in, id);

-- A number is given once, so an entry has one predecessor and one successor. `leaf` stays when the
-- entry itself is taken away with its month.
DO $$
BEGIN
    IF to_regclass('audit_seal') IS NOT NULL THEN
        RETURN;
    END IF;
    CREATE TABLE audit_seal (
        number    bigint PRIMARY KEY CHECK (number > 0),
        merchant  text NOT NULL,
        entry     text NOT NULL,
        at        timestamptz NOT NULL,
        key       bigint NOT NULL,
        format    smallint NOT NULL,
        leaf      bytea NOT NULL CHECK (length(leaf) = 32),
        hash      bytea NOT NULL CHECK (length(hash) = 32),
        signature bytea,
        UNIQUE (merchant, entry)
    );
    CREATE TRIGGER no_update BEFORE UPDATE OR DELETE ON audit_seal
        FOR EACH ROW EXECUTE FUNCTION refuse_change();
    CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_seal
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
    ALTER TABLE audit_seal ENABLE ALWAYS TRIGGER no_update;
    ALTER TABLE audit_seal ENABLE ALWAYS TRIGGER no_truncate;
    CALL keep_older_writers_out('audit_seal');
END $$;

CREATE OR REPLACE FUNCTION check_audit_head() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.number < OLD.number OR (NEW.number = OLD.number AND NEW.hash <> OLD.hash) THEN
        RAISE EXCEPTION 'the chain of the audit log goes forward'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

-- One row: the end of the chain, up to which entry all were looked at, whose turn it is by this clock,
-- what was told outside last, and what was verified last (each signed).
DO $$
BEGIN
    IF to_regclass('audit_head') IS NOT NULL THEN
        RETURN;
    END IF;
    CREATE TABLE audit_head (
        one          boolean PRIMARY KEY DEFAULT true CHECK (one),
        number       bigint NOT NULL DEFAULT 0,
        hash         bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
        written_in   xid8 NOT NULL DEFAULT '0',
        entry        text NOT NULL DEFAULT '',
        run          text,
        leased_until timestamptz,
        checkpoint   text,
        verified     text,
        created_at   timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    INSERT INTO audit_head DEFAULT VALUES;
    CREATE TRIGGER head_goes_forward BEFORE UPDATE ON audit_head
        FOR EACH ROW EXECUTE FUNCTION check_audit_head();
    CREATE TRIGGER no_delete BEFORE DELETE ON audit_head
        FOR EACH ROW EXECUTE FUNCTION refuse_change();
    CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_head
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
    ALTER TABLE audit_head ENABLE ALWAYS TRIGGER head_goes_forward;
    ALTER TABLE audit_head ENABLE ALWAYS TRIGGER no_delete;
    ALTER TABLE audit_head ENABLE ALWAYS TRIGGER no_truncate;
    CALL keep_older_writers_out('audit_head');
END $$;

-- Takes the oldest month of a table away: it becomes a table of its own, which refuses changes as before
-- and which nobody but the owner sees.
CREATE OR REPLACE FUNCTION detach_month(parent regclass, month regclass) RETURNS void
LANGUAGE plpgsql SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
    oldest record;
BEGIN
    SELECT m.place, m.ends INTO oldest FROM months_of(parent) m
    WHERE m.ends IS NOT NULL ORDER BY m.ends LIMIT 1;
    IF oldest.place IS DISTINCT FROM month THEN
        RAISE EXCEPTION '% is not the oldest month of %', month, parent
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF oldest.ends > clock_timestamp() THEN
        RAISE EXCEPTION '% has not ended', month
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    EXECUTE format('ALTER TABLE %s DETACH PARTITION %s', parent, month);
    EXECUTE format('CREATE TRIGGER no_update BEFORE UPDATE OR DELETE ON %s
                    FOR EACH ROW EXECUTE FUNCTION refuse_change()', month);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER no_update', month);
END $$;

-- They lock tables that the application's role may only add to: done with the owner's rights, for
-- whoever starts a process.
DO $$
BEGIN
    ALTER FUNCTION keep_order() SECURITY DEFINER SET search_path FROM CURRENT;
END $$;
