-- outside a transaction
-- The transaction that wrote an event. Ids and times are drawn before the commit, so a reader that
-- goes by them passes one that is not there yet; what was written by a transaction below the oldest
-- that is open can have no later neighbour. Events of before are the oldest: 0, and then by id.
--
-- The indexes are made before the table is partitioned: a partitioned one has none made beside commits.

DO $$
BEGIN
    ALTER TABLE event ADD COLUMN IF NOT EXISTS written_in xid8 NOT NULL DEFAULT '0';
    ALTER TABLE event ALTER COLUMN written_in SET DEFAULT pg_current_xact_id();
    ALTER TABLE event ADD COLUMN IF NOT EXISTS type text;
END $$;

CREATE INDEX CONCURRENTLY event_in_order ON event (merchant, written_in, id);

CREATE INDEX CONCURRENTLY event_of_object ON event (merchant, object_id, written_in, id);
