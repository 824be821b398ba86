-- outside a transaction
-- What migration 0017 added, to be looked up; and the events that wait for what they are about. All
-- but the first are empty while all is well.

CREATE INDEX CONCURRENTLY provider_event_subject ON provider_event (merchant, subject, id)
    WHERE subject IS NOT NULL;
CREATE INDEX CONCURRENTLY provider_event_parked ON provider_event (updated_at, merchant, id)
    WHERE status = 'parked';
CREATE INDEX CONCURRENTLY provider_event_replayable ON provider_event (updated_at, merchant, id)
    WHERE replay_until IS NOT NULL;
