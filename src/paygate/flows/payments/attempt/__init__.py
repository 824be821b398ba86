"""One attempt, from its choice to its end: what the verbs of payments share."""
