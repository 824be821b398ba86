-- outside a transaction
-- The events that an earlier version ignored, for it knew nothing to make of their type: a version
-- that does finds them by it, and nothing else is looked at.

CREATE INDEX CONCURRENTLY provider_event_without_handler
    ON provider_event (type_index, updated_at, merchant, id)
    WHERE status = 'ignored' AND verdict = 'no_handler';
