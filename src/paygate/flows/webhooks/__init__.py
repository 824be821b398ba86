"""Telling merchants: their endpoints, and every delivery to one."""
