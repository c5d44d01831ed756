"""The embedded default: PostgreSQL, broker, web, worker and beat under one supervisor (``manage.py up``).

Nothing here needs Django's settings: the supervisor writes the addresses that the settings read.
"""
