-- name: write_settlement_page
WITH waiting AS (
    SELECT FROM settlement WHERE merchant = $1 AND id = $2 AND matching = 'waiting' FOR SHARE
), page AS (
    INSERT INTO settlement_page
    SELECT page.* FROM waiting, (VALUES ({settlement_page from $1})) AS page
    RETURNING version
), lines AS (
    INSERT INTO settlement_line (merchant, id, settlement, page, place, fact, suspect)
    SELECT $1, line.id, $2, page.version, line.place - 1, line.fact, line.suspect = '1'
    FROM page, unnest(string_to_array($6::text, ' '), string_to_array($7::text, ' ', ''),
                      string_to_array($8::text, ' '))
        WITH ORDINALITY AS line (id, fact, suspect, place)
)
SELECT version FROM page

-- name: settlement_pages_after
SELECT {settlement_page as p} FROM settlement_page p
WHERE p.merchant = $1 AND p.id = $2 AND p.version > $3
  AND ($5 OR NOT EXISTS (SELECT FROM settlement_withdrawn w
                         WHERE w.merchant = p.merchant AND w.settlement = p.id AND w.page = p.version))
ORDER BY p.version LIMIT $4

-- name: settlement_page
SELECT {settlement_page} FROM settlement_page WHERE merchant = $1 AND id = $2 AND version = $3

-- name: settlement_pages_counted
SELECT count(*) AS pages, coalesce(max(version), 0) AS last FROM settlement_page p
WHERE p.merchant = $1 AND p.id = $2
  AND NOT EXISTS (SELECT FROM settlement_withdrawn w
                  WHERE w.merchant = p.merchant AND w.settlement = p.id AND w.page = p.version)

-- name: settlement_page_last
SELECT coalesce(max(version), 0) AS last FROM settlement_page WHERE merchant = $1 AND id = $2

-- name: withdraw_settlement_pages
WITH waiting AS (
    SELECT FROM settlement WHERE merchant = $1 AND id = $2 AND matching = 'waiting' FOR SHARE
)
INSERT INTO settlement_withdrawn (merchant, settlement, page)
SELECT $1, $2, page FROM waiting, unnest($3::int[]) AS page
ON CONFLICT DO NOTHING

-- name: settlement_lines_known
SELECT l.id, l.settlement FROM settlement_line l WHERE l.merchant = $1 AND l.id = ANY ($2)
  AND NOT EXISTS (SELECT FROM settlement_withdrawn w
                  WHERE w.merchant = l.merchant AND w.settlement = l.settlement AND w.page = l.page)

-- name: settlement_lines_placed
SELECT l.id, l.settlement, l.page, l.place, EXISTS (
    SELECT FROM settlement_withdrawn w
    WHERE w.merchant = l.merchant AND w.settlement = l.settlement AND w.page = l.page) AS withdrawn
FROM settlement_line l WHERE l.merchant = $1 AND l.id = ANY ($2)

-- name: settlement_line
SELECT l.id, l.settlement, l.page, l.place FROM settlement_line l
WHERE l.merchant = $1 AND l.id = $2
  AND NOT EXISTS (SELECT FROM settlement_withdrawn w
                  WHERE w.merchant = l.merchant AND w.settlement = l.settlement AND w.page = l.page)

-- name: settlement_lines_of
SELECT l.fact, l.id FROM settlement_line l WHERE l.merchant = $1 AND l.fact = ANY ($2)
  AND NOT EXISTS (SELECT FROM settlement_withdrawn w
                  WHERE w.merchant = l.merchant AND w.settlement = l.settlement AND w.page = l.page)
UNION
SELECT m.fact, m.id
FROM settlement_match m JOIN settlement_line l ON l.merchant = m.merchant AND l.id = m.id
WHERE m.merchant = $1 AND m.fact = ANY ($2)
  AND NOT EXISTS (SELECT FROM settlement_withdrawn w
                  WHERE w.merchant = l.merchant AND w.settlement = l.settlement AND w.page = l.page)

-- name: facts_with_several_lines
SELECT each.fact FROM (
    SELECT l.fact, l.id, l.settlement, l.page
    FROM settlement_line l WHERE l.merchant = $1 AND l.fact = ANY (string_to_array($2, ' '))
    UNION
    SELECT m.fact, l.id, l.settlement, l.page
    FROM settlement_match m JOIN settlement_line l ON l.merchant = m.merchant AND l.id = m.id
    WHERE m.merchant = $1 AND m.fact = ANY (string_to_array($2, ' '))) AS each
WHERE NOT EXISTS (SELECT FROM settlement_withdrawn w
                  WHERE w.merchant = $1 AND w.settlement = each.settlement AND w.page = each.page)
GROUP BY each.fact HAVING count(*) > 1

-- name: settlement_lines_of_facts
SELECT l.id, l.settlement, l.page, l.place
FROM settlement_line l WHERE l.merchant = $1 AND l.fact = ANY ($2)
  AND NOT EXISTS (SELECT FROM settlement_withdrawn w
                  WHERE w.merchant = l.merchant AND w.settlement = l.settlement AND w.page = l.page)
UNION
SELECT l.id, l.settlement, l.page, l.place
FROM settlement_match m JOIN settlement_line l ON l.merchant = m.merchant AND l.id = m.id
WHERE m.merchant = $1 AND m.fact = ANY ($2)
  AND NOT EXISTS (SELECT FROM settlement_withdrawn w
                  WHERE w.merchant = l.merchant AND w.settlement = l.settlement AND w.page = l.page)
ORDER BY settlement, page, place

-- name: settlement_lines_of_nothing
SELECT l.id, l.settlement, l.page, l.place FROM settlement_line l
WHERE l.merchant = $1 AND l.settlement = $2 AND l.suspect AND l.fact IS NULL
  AND NOT EXISTS (SELECT FROM settlement_withdrawn w
                  WHERE w.merchant = l.merchant AND w.settlement = l.settlement AND w.page = l.page)
ORDER BY l.page, l.place
