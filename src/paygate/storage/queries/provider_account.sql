-- name: provider_account
SELECT {provider_account} FROM provider_account WHERE merchant = $1 AND id = $2
