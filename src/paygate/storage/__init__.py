"""PostgreSQL, and the only SQL of the house.

Writes go through `committer` and nowhere else (migrations and the first installation apart);
reads are named blocks in `queries/` with one typed function each in `reader`.
"""
