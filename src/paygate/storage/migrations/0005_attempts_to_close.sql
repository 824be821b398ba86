-- When nobody waits for the payer of an open attempt any longer: the sweep finds it by this.

ALTER TABLE attempt ADD COLUMN close_at timestamptz;

CREATE INDEX attempt_to_close ON attempt (close_at)
    WHERE state IN ('pending', 'action_required') AND close_at IS NOT NULL;
