-- outside a transaction
-- Customers whose erasure has begun: the few whose late events lose their bodies.

CREATE INDEX CONCURRENTLY customer_erasure ON customer (merchant, id)
    WHERE erasure_began_at IS NOT NULL;
