"""LedgerBee's dialect, mounted at ``/api/v1``: camelCase JSON, bare objects, ids as UUIDs.

Grammar, which knows no resource: middleware, wire, parsers, errors, authentication, viewsets. Vocabulary: meters and
meter_report, the operations of LedgerBee's page on meters, and api_key.
"""
