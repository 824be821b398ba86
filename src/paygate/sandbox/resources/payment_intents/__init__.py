"""PaymentIntents: their life from creation to the money or its absence.

`parameters` is what calls may say, `intent` the object and its refusals, `attempt` the confirming,
`hold` the captured, cancelled and expired authorization, `endpoints` the calls.
"""
