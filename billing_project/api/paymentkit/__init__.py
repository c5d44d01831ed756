"""Payment Kit's dialect, mounted at ``/api``: usage and token credits, as ``@blocklet/payment-js`` speaks of them.

Grammar, which knows no resource: middleware, wire, parsers, errors, authentication, viewsets. Vocabulary: a file for each
of the vendor's resources.
"""
