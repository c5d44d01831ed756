"""The second generation of Stripe's grammar, mounted at ``/v2``: JSON bodies, times as text, errors known by their code.

Grammar: ``errors`` and ``wire``. Credentials, idempotency keys and query strings are those of ``/v1``. Vocabulary: one
file per resource.
"""
