-- outside a transaction
-- What migration 0007 added, to be looked up.

CREATE UNIQUE INDEX CONCURRENTLY payment_intent_provider_reference
    ON payment_intent (provider_reference_index) WHERE provider_reference_index IS NOT NULL;
CREATE INDEX CONCURRENTLY payment_intent_create_key
    ON payment_intent (merchant, create_key) WHERE create_key IS NOT NULL;
