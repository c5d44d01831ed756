"""Stripe's dialect, mounted at ``/v1``.

Grammar, which knows no resource: middleware, parsers, fields, errors, authentication, idempotency, objects,
pagination, viewsets. Vocabulary: one file per resource of Stripe's reference, and ``kinds``, the list of their ids.
"""
