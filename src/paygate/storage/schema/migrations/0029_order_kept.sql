-- The order of events, kept when a dump is put into another server. That one counts transactions from
-- a beginning of its own: what is written next would stand before what was told long ago. So a
-- transaction's place in the order is its number here, and what servers before have counted. A backup
-- of the data directory, a standby and pg_upgrade count on by themselves.

ALTER TABLE installation
    ADD COLUMN counted_elsewhere bigint NOT NULL DEFAULT 0 CHECK (counted_elsewhere >= 0);

-- Stable: a statement sees the count as of its snapshot, as it sees the events.
CREATE FUNCTION place_of(transaction xid8) RETURNS xid8 LANGUAGE plpgsql STABLE AS $$
DECLARE
    elsewhere bigint := (SELECT counted_elsewhere FROM installation);
BEGIN
    IF coalesce(elsewhere, 0) = 0 THEN
        RETURN transaction;
    END IF;
    RETURN (transaction::text::bigint + elsewhere)::text::xid8;
END $$;

ALTER TABLE event ALTER COLUMN written_in SET DEFAULT place_of(pg_current_xact_id());

CREATE OR REPLACE FUNCTION begin_webhook_cursor() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO webhook_cursor (merchant, written_in, event)
    VALUES (NEW.merchant, place_of(pg_snapshot_xmin(pg_current_snapshot())), '')
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

-- An older version took a cursor that is ahead of the server back, and told events anew.
CREATE TRIGGER webhook_cursor_goes_on BEFORE UPDATE ON webhook_cursor FOR EACH ROW
    WHEN ((NEW.written_in, NEW.event) < (OLD.written_in, OLD.event))
    EXECUTE FUNCTION refuse('what was told is not told again');
ALTER TABLE webhook_cursor ENABLE ALWAYS TRIGGER webhook_cursor_goes_on;

-- Whether a place is taken that this server has not counted to: then another one has. What a snapshot
-- sees was written by transactions before its end, so that of its own writing no server is taken for
-- another one. A cursor may stand at the end.
CREATE FUNCTION is_ahead() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM (SELECT place_of(pg_snapshot_xmax(pg_current_snapshot())) AS place) until
        WHERE EXISTS (SELECT FROM webhook_cursor c WHERE c.written_in > until.place)
           OR EXISTS (
            SELECT FROM merchant m CROSS JOIN LATERAL (
                SELECT e.written_in FROM event e WHERE e.merchant = m.id
                ORDER BY e.written_in DESC, e.id DESC LIMIT 1) newest
            WHERE newest.written_in >= until.place))
$$;

-- Has every transaction from now on take a place behind all that are taken, where some are ahead of
-- this server; returns whether they were. No row of the order changes. Who writes an event or a cursor
-- comes before the lock, and is counted, or behind it, and sees the new count.
CREATE FUNCTION keep_order() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF NOT is_ahead() THEN
        RETURN false;
    END IF;
    LOCK TABLE ONLY event, ONLY webhook_cursor IN SHARE ROW EXCLUSIVE MODE;
    IF NOT is_ahead() THEN
        RETURN false;  -- another process was here
    END IF;
    UPDATE installation SET counted_elsewhere = 1 + greatest(
        (SELECT c.written_in::text::bigint FROM webhook_cursor c ORDER BY c.written_in DESC LIMIT 1),
        (SELECT newest.written_in::text::bigint
         FROM merchant m CROSS JOIN LATERAL (
            SELECT e.written_in FROM event e WHERE e.merchant = m.id
            ORDER BY e.written_in DESC, e.id DESC LIMIT 1) newest
         ORDER BY newest.written_in DESC LIMIT 1)
    ) - pg_snapshot_xmin(pg_current_snapshot())::text::bigint;  -- the oldest that may write still
    RETURN true;
END $$;
