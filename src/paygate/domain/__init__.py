"""The gateway's rules as values and pure functions.

Nothing here awaits, reads a clock, draws randomness, looks at the environment,
logs or knows SQL; whatever it needs is handed in, so a test is a call.
"""
