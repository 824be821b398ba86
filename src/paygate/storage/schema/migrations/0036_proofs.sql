-- Who moves the head of the audit log, adds a seal or edits a keyset shows that he has the keys.
--
-- Beside the row stands the SHA-256 of a proof that follows from the audit key. Who changes the row
-- shows that proof, which is not stored, and leaves the hash of the next one: so the application's
-- role alone can do neither. A row without such a hash asks for none, until `migrate` or its first
-- change gives it one.

ALTER TABLE audit_head
    ADD COLUMN turn       bigint NOT NULL DEFAULT 0,
    ADD COLUMN proof      bytea,
    ADD COLUMN proof_hash bytea;
ALTER TABLE keyset
    ADD COLUMN proof      bytea,
    ADD COLUMN proof_hash bytea;

CREATE FUNCTION is_proved(asked bytea, proof bytea, asked_next bytea) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT asked IS NULL OR coalesce(
        sha256(proof) = asked AND length(asked_next) = 32 AND asked_next <> asked, false)
$$;

CREATE OR REPLACE FUNCTION check_audit_head() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.number < OLD.number OR (NEW.number = OLD.number AND NEW.hash <> OLD.hash) THEN
        RAISE EXCEPTION 'the chain of the audit log goes forward'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NOT is_proved(OLD.proof_hash, NEW.proof, NEW.proof_hash)
       OR (OLD.proof_hash IS NOT NULL AND NEW.turn <> OLD.turn + 1) THEN
        RAISE EXCEPTION 'the head of the audit log is moved by who has its key'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    NEW.proof := NULL;
    RETURN NEW;
END $$;

-- Seals come with the head, which then stands at the last of them: none is behind it, between older
-- ones or in a gap.
CREATE FUNCTION check_audit_seals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (SELECT count(*) AS seals, min(number) AS first, max(number) AS last FROM added) a
        CROSS JOIN audit_head h
        WHERE a.seals > 0
          AND (a.last <> h.number OR a.seals <> a.last - a.first + 1
               OR (SELECT s.hash FROM added s WHERE s.number = a.last) <> h.hash)) THEN
        RAISE EXCEPTION 'a seal comes with the head of the audit log, and without a gap'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER seals_follow AFTER INSERT ON audit_seal REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION check_audit_seals();
ALTER TABLE audit_seal ENABLE ALWAYS TRIGGER seals_follow;

-- A keyset may be given its first hash without being edited.
CREATE OR REPLACE FUNCTION check_keyset() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.proof_hash IS NULL AND NEW.proof_hash IS NOT NULL
       AND (NEW.purpose, NEW.wrapped, NEW.created_at, NEW.generation)
           = (OLD.purpose, OLD.wrapped, OLD.created_at, OLD.generation) THEN
        NEW.proof := NULL;
        RETURN NEW;
    END IF;
    IF NEW.purpose <> OLD.purpose OR NEW.created_at <> OLD.created_at
       OR NEW.generation <> OLD.generation + 1 THEN
        RAISE EXCEPTION 'a keyset goes one generation on, and keeps its purpose and its time'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NOT is_proved(OLD.proof_hash, NEW.proof, NEW.proof_hash) THEN
        RAISE EXCEPTION 'a keyset is edited by who has the keys'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    NEW.proof := NULL;
    RETURN NEW;
END $$;

-- What is known of a key is written with an edit of its keyset: a key that nobody has would keep
-- every process from starting. That a rotation has ended is written by itself, once.
CREATE OR REPLACE FUNCTION check_keyset_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.purpose <> OLD.purpose OR NEW.key <> OLD.key OR NEW.added_at <> OLD.added_at THEN
            RAISE EXCEPTION 'a key keeps its id and the time when it was added'
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        IF OLD.sealed_at IS NULL
           AND (NEW.promoted_at, NEW.retired_at) IS NOT DISTINCT FROM (OLD.promoted_at, OLD.retired_at) THEN
            RETURN NEW;
        END IF;
    END IF;
    IF NOT EXISTS (SELECT FROM keyset k
                   WHERE k.purpose = NEW.purpose AND k.xmin = pg_current_xact_id()::xid) THEN
        RAISE EXCEPTION 'what is known of a key is written with an edit of its keyset'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER keyset_key_keeps BEFORE INSERT OR UPDATE ON keyset_key
    FOR EACH ROW EXECUTE FUNCTION check_keyset_key();
ALTER TABLE keyset_key ENABLE ALWAYS TRIGGER keyset_key_keeps;

CREATE TRIGGER installation_keeps BEFORE UPDATE ON installation FOR EACH ROW
    WHEN (NEW.id <> OLD.id OR NEW.livemode <> OLD.livemode)
    EXECUTE FUNCTION refuse('an installation keeps its id and its mode');
ALTER TABLE installation ENABLE ALWAYS TRIGGER installation_keeps;

-- Seals that are none of ours, written by a hand that no trigger stops, are taken out of the chain by
-- the tables' owner (`migrate --disown-seals`), and kept here.
CREATE TABLE audit_seal_disowned (
    disowned_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    LIKE audit_seal
);
CREATE TRIGGER no_update BEFORE UPDATE OR DELETE ON audit_seal_disowned
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_seal_disowned
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE audit_seal_disowned ENABLE ALWAYS TRIGGER no_update;
ALTER TABLE audit_seal_disowned ENABLE ALWAYS TRIGGER no_truncate;
CALL keep_older_writers_out('audit_seal_disowned');

-- Takes the chain back to its seal `kept`, where `seen` is the highest number; who is no owner may not
-- switch the triggers off. The order of entries is gone through again from there: what has a seal is
-- passed by.
CREATE FUNCTION disown_seals(kept bigint, seen bigint, next_turn bigint, asked bytea) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    gone bigint;
BEGIN
    ALTER TABLE audit_seal DISABLE TRIGGER no_update;
    ALTER TABLE audit_head DISABLE TRIGGER head_goes_forward;
    IF (SELECT coalesce(max(number), 0) FROM audit_seal) <> seen THEN
        RAISE EXCEPTION 'seals were written meanwhile: look again'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    WITH taken AS (DELETE FROM audit_seal WHERE number > kept RETURNING *)
    INSERT INTO audit_seal_disowned SELECT clock_timestamp(), taken.* FROM taken;
    GET DIAGNOSTICS gone = ROW_COUNT;
    UPDATE audit_head h SET number = s.number, hash = s.hash, run = NULL, leased_until = NULL,
        written_in = coalesce(e.written_in, '0'), entry = coalesce(e.id, ''),
        turn = next_turn, proof_hash = asked
    FROM audit_seal s LEFT JOIN audit_entry e
        ON e.merchant = s.merchant AND e.id = s.entry AND e.at = s.at
    WHERE s.number = kept;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no seal %', kept
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    ALTER TABLE audit_seal ENABLE ALWAYS TRIGGER no_update;
    ALTER TABLE audit_head ENABLE ALWAYS TRIGGER head_goes_forward;
    RETURN gone;
END $$;
