"""What the verbs of payments share."""
