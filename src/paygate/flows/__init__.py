"""Business verbs, each a file in the room of its feature. A flow reads, decides with the
domain, and commits.

No flow opens a transaction, knows HTTP or a provider's names, or holds anything open in the
database while the provider is asked.
"""
