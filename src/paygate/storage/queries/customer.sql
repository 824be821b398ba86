-- name: customer
SELECT {customer} FROM customer WHERE merchant = $1 AND id = $2
