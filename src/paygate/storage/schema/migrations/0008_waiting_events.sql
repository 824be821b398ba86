-- outside a transaction
-- How the sweep finds the events that were received and never applied. It is empty but for what has
-- come just now, so that the sweep costs nothing while all is well.

CREATE INDEX CONCURRENTLY provider_event_waiting ON provider_event (updated_at, merchant, id)
    WHERE status = 'received';
