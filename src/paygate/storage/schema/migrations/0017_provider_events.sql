-- Provider events are found by type, subject, verdict and time, and what was given up is tried again.
--
-- The five columns are null in rows of before, until they next advance.

ALTER TABLE provider_event
    ADD COLUMN type_index          bytea,
    ADD COLUMN subject             text,
    ADD COLUMN verdict             text,
    ADD COLUMN provider_created_at timestamptz,
    ADD COLUMN replay_until        timestamptz;

-- A person, or a version that can do more, has an ignored event applied once more.

DROP TRIGGER provider_event_ends ON provider_event;
CREATE TRIGGER provider_event_ends BEFORE UPDATE ON provider_event FOR EACH ROW
    WHEN (NEW.status <> OLD.status
          AND (OLD.status IN ('processed', 'stale')
               OR (OLD.status = 'ignored' AND NEW.status <> 'received')))
    EXECUTE FUNCTION refuse('a provider event that came to its end stays there, unless it is replayed');
ALTER TABLE provider_event ENABLE ALWAYS TRIGGER provider_event_ends;
CREATE TRIGGER provider_event_replays BEFORE INSERT OR UPDATE ON provider_event FOR EACH ROW
    WHEN (NEW.replay_until IS NOT NULL AND NEW.status <> 'dead_letter')
    EXECUTE FUNCTION refuse('only a dead letter is tried again by the clock');
ALTER TABLE provider_event ENABLE ALWAYS TRIGGER provider_event_replays;
