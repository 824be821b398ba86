-- name: settlement_import
SELECT {settlement_import} FROM settlement_import WHERE merchant = $1 AND id = $2

-- name: settlement_import_of_content
SELECT {settlement_import} FROM settlement_import
WHERE merchant = $1 AND content_hash = $2 ORDER BY id LIMIT 1

-- name: write_settlement_file_chunk
INSERT INTO settlement_file SELECT * FROM (VALUES ({settlement_file from $1})) AS chunk

-- name: settlement_file_chunk
SELECT {settlement_file} FROM settlement_file WHERE merchant = $1 AND id = $2 AND version = $3

-- name: settlement_file_chunks
SELECT count(*) AS chunks FROM settlement_file WHERE merchant = $1 AND id = $2

-- name: delete_settlement_file
DELETE FROM settlement_file WHERE merchant = $1 AND id = $2

-- name: settlement_files_left
SELECT f.id FROM settlement_file f
WHERE f.merchant = $1 AND f.version = 1 AND f.created_at < $2
  AND NOT EXISTS (SELECT FROM settlement_import i
                  WHERE i.merchant = f.merchant AND i.id = f.id AND i.status = 'running')
ORDER BY f.id LIMIT $3
