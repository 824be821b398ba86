-- name: write_settlement_page
WITH waiting AS (
    SELECT FROM settlement WHERE merchant = $1 AND id = $2 AND matching = 'waiting' FOR SHARE
), page AS (
    INSERT INTO settlement_page
    SELECT page.* FROM waiting, (VALUES ({settlement_page from $1})) AS page
    RETURNING version
)
INSERT INTO settlement_line (merchant, id, settlement, page, place, fact, suspect)
SELECT $1, line.id, $2, page.version, line.place - 1, line.fact, line.suspect
FROM page, unnest($6::text[], $7::text[], $8::bool[])
    WITH ORDINALITY AS line (id, fact, suspect, place)
RETURNING place

-- name: settlement_pages_after
SELECT {settlement_page} FROM settlement_page
WHERE merchant = $1 AND id = $2 AND version > $3
ORDER BY version LIMIT $4

-- name: settlement_page
SELECT {settlement_page} FROM settlement_page WHERE merchant = $1 AND id = $2 AND version = $3

-- name: settlement_pages_counted
SELECT count(*) AS pages, coalesce(max(version), 0) AS last FROM settlement_page
WHERE merchant = $1 AND id = $2

-- name: settlement_lines_known
SELECT id, settlement FROM settlement_line WHERE merchant = $1 AND id = ANY ($2)

-- name: settlement_lines_placed
SELECT id, settlement, page, place FROM settlement_line WHERE merchant = $1 AND id = ANY ($2)

-- name: settlement_line
SELECT id, settlement, page, place FROM settlement_line WHERE merchant = $1 AND id = $2

-- name: settlement_lines_of
SELECT fact, id FROM settlement_line WHERE merchant = $1 AND fact = ANY ($2)
UNION SELECT fact, id FROM settlement_match WHERE merchant = $1 AND fact = ANY ($2)

-- name: facts_with_several_lines
SELECT fact FROM settlement_line WHERE merchant = $1 AND fact = ANY ($2)
GROUP BY fact HAVING count(*) > 1

-- name: settlement_lines_of_facts
SELECT id, settlement, page, place FROM settlement_line WHERE merchant = $1 AND fact = ANY ($2)
UNION
SELECT l.id, l.settlement, l.page, l.place
FROM settlement_match m JOIN settlement_line l ON l.merchant = m.merchant AND l.id = m.id
WHERE m.merchant = $1 AND m.fact = ANY ($2)
ORDER BY settlement, page, place

-- name: settlement_lines_of_nothing
SELECT id, settlement, page, place FROM settlement_line
WHERE merchant = $1 AND settlement = $2 AND suspect AND fact IS NULL
ORDER BY page, place
