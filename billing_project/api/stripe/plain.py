"""Plain views, for what is too hot for a viewset: one function per method of an address."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from billing_project.api.common.openapi.operations import described_by
from billing_project.api.stripe.described import operations_of_views
from billing_project.api.stripe.errors import unrecognized

PlainView = Callable[..., HttpResponseBase]


def by_method(**views: PlainView) -> PlainView:
    """One view of an address that calls ``views[method]``. The middleware answers what they raise."""

    def view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        chosen = views.get((request.method or "").lower())
        if chosen is None:
            raise unrecognized(request)
        return chosen(request, *args, **kwargs)

    # As the router's own views name theirs.
    view.actions = {method: chosen.__name__ for method, chosen in views.items()}  # type: ignore[attr-defined]
    return csrf_exempt(described_by(lambda path: operations_of_views(views, path))(view))
