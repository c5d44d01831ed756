"""Money, periods, ids, errors and database helpers: no models, and nothing of ours is imported here."""
