"""Connections to PostgreSQL: made, pooled, and watched for their end."""
