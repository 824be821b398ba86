-- The ledger. Amounts are sealed, so the schema cannot add; it can serialise: all that moves money on an
-- intent has a number of its own, without gaps, and whoever forgot its guard collides here.

ALTER TABLE payment_intent ADD COLUMN money_seq integer NOT NULL DEFAULT 0;

CREATE TABLE ledger_transfer (
    merchant  text NOT NULL,
    id        text NOT NULL,
    intent    text NOT NULL,
    money_seq integer NOT NULL CHECK (money_seq > 0),
    posted_at timestamptz NOT NULL,
    sealed    bytea NOT NULL,
    PRIMARY KEY (merchant, id),
    UNIQUE (merchant, intent, money_seq)
);
ALTER TABLE ledger_transfer ALTER COLUMN sealed SET STORAGE EXTERNAL;

CREATE OR REPLACE FUNCTION check_payment_intent_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'created' OR NEW.money_seq <> 0 THEN
            RAISE EXCEPTION 'a payment intent begins as created, and without money'
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    ELSIF NOT (CASE OLD.status
        WHEN 'created' THEN NEW.status IN ('processing', 'cancelled')
        WHEN 'processing' THEN NEW.status IN
            ('processing', 'requires_action', 'requires_capture', 'succeeded', 'failed', 'cancelled')
        WHEN 'requires_action' THEN NEW.status IN
            ('requires_action', 'requires_capture', 'succeeded', 'failed', 'cancelled')
        WHEN 'requires_capture' THEN NEW.status IN
            ('requires_capture', 'succeeded', 'failed', 'cancelled')
        WHEN 'succeeded' THEN NEW.status IN ('refunded')
        WHEN 'failed' THEN NEW.status IN ('succeeded')
        WHEN 'cancelled' THEN NEW.status IN ('succeeded')
        WHEN 'refunded' THEN NEW.status IN ('succeeded')
        ELSE false END) THEN
        RAISE EXCEPTION 'a payment intent that is % cannot become %', OLD.status, NEW.status
            USING ERRCODE = 'integrity_constraint_violation';
    ELSIF NEW.money_seq NOT IN (OLD.money_seq, OLD.money_seq + 1) THEN
        RAISE EXCEPTION 'money moves on a payment intent one fact at a time'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

-- Both after the statement, when both rows of the commit are there.
CREATE FUNCTION check_money_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM ledger_transfer t WHERE t.merchant = NEW.merchant
                   AND t.intent = NEW.id AND t.money_seq = NEW.money_seq) THEN
        RAISE EXCEPTION 'money moved on a payment intent without a transfer'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION check_transfer_place() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM payment_intent i WHERE i.merchant = NEW.merchant
                   AND i.id = NEW.intent AND i.money_seq = NEW.money_seq) THEN
        RAISE EXCEPTION 'a transfer has no place on its payment intent'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER payment_intent_money AFTER UPDATE ON payment_intent
    FOR EACH ROW WHEN (NEW.money_seq <> OLD.money_seq) EXECUTE FUNCTION check_money_moved();
CREATE TRIGGER ledger_transfer_place AFTER INSERT ON ledger_transfer
    FOR EACH ROW EXECUTE FUNCTION check_transfer_place();
CREATE TRIGGER no_update BEFORE UPDATE OR DELETE ON ledger_transfer
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON ledger_transfer
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE payment_intent ENABLE ALWAYS TRIGGER payment_intent_money;
ALTER TABLE ledger_transfer ENABLE ALWAYS TRIGGER ledger_transfer_place;
ALTER TABLE ledger_transfer ENABLE ALWAYS TRIGGER no_update;
ALTER TABLE ledger_transfer ENABLE ALWAYS TRIGGER no_truncate;
