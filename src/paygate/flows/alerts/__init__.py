"""Alerts: raised by every other room, seen by a person, closed when their cause is gone."""
