"""OpenAPI documents, one for each dialect, and the pages that show them.

A dialect says what it is in a :class:`Dialect`. Its viewsets are described by drf-spectacular, from ``extend_schema`` on
their actions, or from the dialect's own ``described.py``, which reads what actions take and answer out of the code that
does it (:mod:`reading`). A plain view is described by hand, beside it, by :func:`described`. Shapes are msgspec structs or
plain dicts.
"""

from billing_project.api.common.openapi.document import Dialect, document
from billing_project.api.common.openapi.operations import answer, described
from billing_project.api.common.openapi.views import openapi_urls

__all__ = ["Dialect", "answer", "described", "document", "openapi_urls"]
