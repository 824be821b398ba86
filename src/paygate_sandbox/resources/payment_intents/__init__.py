"""PaymentIntents: their life from creation to the money or its absence.

`parameters` is what calls may say, `intent` the object and its refusals, `attempt` the confirming,
`transfer` and `debit` the ways by bank, `outcome` the money or its absence, `hold` the captured,
cancelled and expired authorization, `funding` the tester's transfer, `endpoints` the calls.
"""
