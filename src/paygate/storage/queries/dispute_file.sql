-- name: write_dispute_file_chunk
INSERT INTO dispute_file SELECT * FROM (VALUES ({dispute_file from $1})) AS chunk

-- name: dispute_file_chunk
SELECT {dispute_file} FROM dispute_file WHERE merchant = $1 AND id = $2 AND version = $3

-- name: dispute_file_place
SELECT created_at, merchant, id, dispute FROM dispute_file
WHERE merchant = $1 AND id = $2 AND version = 1

-- name: delete_dispute_file
DELETE FROM dispute_file WHERE merchant = $1 AND id = $2

-- name: dispute_files_made_by
SELECT created_at, merchant, id, dispute FROM dispute_file
WHERE version = 1 AND created_at <= $5 AND (created_at, merchant, id) > ($1, $2, $3)
ORDER BY created_at, merchant, id LIMIT $4
