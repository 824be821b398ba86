-- An alert that a channel does not take waits for a while, so that others pass: until when, which is
-- searched. Null: it is sent as soon as it is news.

ALTER TABLE alert_notice ADD COLUMN next_at timestamptz;
