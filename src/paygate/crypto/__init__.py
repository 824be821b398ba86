"""Keys and what is done with them: seal and open records, index without revealing, make keys.

This floor knows bytes, names and keys. It must never know SQL, HTTP, settings, the clock or
what a payment is: who calls says where a record lies, and keeps what is returned.

- `kms` wraps keysets under a key-encryption key that the database never holds.
- `keyring` makes, loads and edits the keysets, one per purpose.
- `seal` seals records to their place; `blind_index` makes sealed columns searchable.
- `api_keys` and `client_secrets` are formats; `credentials` hashes both for storage.
- `audit_keys` salts and signs the audit log's chain.
- `callback_states` signs what a payer's browser brings back from a challenge.
- `tink_keysets` is the one file that touches Tink's untyped interface.
"""
