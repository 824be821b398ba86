-- When each API key was last used, for the people who look after the keys. It is no fact of
-- record: a crash may lose the last minute of it, and nothing is decided by it.

CREATE TABLE api_key_use (
    key          text PRIMARY KEY,
    last_used_at timestamptz NOT NULL
);

CREATE TRIGGER no_truncate BEFORE TRUNCATE ON api_key_use
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE api_key_use ENABLE ALWAYS TRIGGER no_truncate;
