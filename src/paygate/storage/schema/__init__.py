"""The schema: its migrations, and which versions of paygate it takes."""
