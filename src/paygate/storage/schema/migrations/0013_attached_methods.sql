-- A payment method is attached to a payment intent that stays as created: one version on, no new status.

CREATE OR REPLACE FUNCTION check_payment_intent_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'created' OR NEW.money_seq <> 0 THEN
            RAISE EXCEPTION 'a payment intent begins as created, and without money'
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    ELSIF NOT (CASE OLD.status
        WHEN 'created' THEN NEW.status IN ('created', 'processing', 'cancelled')
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
