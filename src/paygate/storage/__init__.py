"""PostgreSQL, and the only SQL of the house.

Writes go through `door` and nowhere else (migrations and the first installation apart);
reads are named blocks in `queries/` with one typed function each in `reader`.
"""
