"""What a worker does with rows that wait for a score: claim them, score them, settle them.

Predictions and what-ifs are such rows alike (`predictions.models.ScoringRequest`). The database
decides everything. A claim is a token with a lease; only rows that still carry the token are
settled, so a worker that comes back after its lease has run out settles nothing. All times are the
database's. Locks are taken on rows first, in the order of their ids, then on credit accounts.
"""
