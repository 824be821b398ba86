"""`paygate doctor`: what could hurt a gateway, looked at and judged.

`examine.py` gathers facts and never fails for one that cannot be had; the checks judge them and
touch nothing but files; `checks.py` is the closed list of these. Nothing here shows a secret.
"""
