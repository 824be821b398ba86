-- name: reference_claim
SELECT {reference_claim} FROM reference_claim WHERE merchant = $1 AND id = $2
