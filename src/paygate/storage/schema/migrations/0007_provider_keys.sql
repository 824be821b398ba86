-- What keeps a payment one payment after a restore, and ours whatever its metadata say.

-- `provider_reference_index` finds an intent by the provider's id of its payment. One payment, one
-- intent: an answer that names another intent's payment is refused here. What stood before has none
-- until it next advances.
-- `create_key` is a keyed hash of create's Idempotency-Key. A key that is used anew after its time to
-- live is another purchase, so the intents of one key are counted.
ALTER TABLE payment_intent
    ADD COLUMN provider_reference_index bytea,
    ADD COLUMN create_key               bytea;

-- The table of domain/attempt.py: a retry of what was not sent goes on with the same attempt, and so with
-- the same key at the provider; and who said so may have sent it.
CREATE OR REPLACE FUNCTION check_attempt_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state NOT IN ('started', 'unknown', 'pending', 'action_required')
       AND NOT (OLD.state = 'not_sent' AND NEW.state <> 'not_sent') THEN
        RAISE EXCEPTION 'an attempt that is % stays so', OLD.state
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
