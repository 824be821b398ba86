-- How the sweeps find what they are for: attempts in doubt, and those whose payers nobody waits for
-- any longer.

CREATE INDEX attempt_in_doubt ON attempt (first_sent_at, merchant, id)
    WHERE state IN ('started', 'unknown');

ALTER TABLE attempt ADD COLUMN close_at timestamptz;

CREATE INDEX attempt_to_close ON attempt (close_at)
    WHERE state IN ('pending', 'action_required') AND close_at IS NOT NULL;
