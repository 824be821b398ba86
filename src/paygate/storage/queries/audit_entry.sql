-- name: audit_entries_older
SELECT {audit_entry} FROM audit_entry
WHERE merchant = $1 AND id < $2 AND id >= $4 AND id < $5
  AND ($6::text IS NULL OR subject = $6)
  AND ($7::text IS NULL OR starts_with(subject, $7))
  AND ($8::text IS NULL OR action = $8)
  AND ($9::text IS NULL OR actor = $9)
  AND ($10::timestamptz IS NULL OR at > $10)
  AND ($11::timestamptz IS NULL OR at < $11)
ORDER BY id DESC LIMIT $3

-- name: audit_entries_newer
SELECT {audit_entry} FROM audit_entry
WHERE merchant = $1 AND id > $2 AND id >= $4 AND id < $5
  AND ($6::text IS NULL OR subject = $6)
  AND ($7::text IS NULL OR starts_with(subject, $7))
  AND ($8::text IS NULL OR action = $8)
  AND ($9::text IS NULL OR actor = $9)
  AND ($10::timestamptz IS NULL OR at > $10)
  AND ($11::timestamptz IS NULL OR at < $11)
ORDER BY id LIMIT $3
