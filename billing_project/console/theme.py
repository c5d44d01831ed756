"""Settings of the console's theme, django-unfold. Read by ``settings.py``, so it imports nothing that needs them."""

from django.templatetags.static import static

# Dates say that they are UTC, on every page (core/formats).
FORMAT_MODULE_PATH = ["core.formats"]

UNFOLD = {
    "SITE_TITLE": "Tollbook",
    "SITE_HEADER": "Tollbook",
    "SITE_SUBHEADER": "Usage-based billing",
    "SITE_SYMBOL": "receipt_long",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda _request: static("console/favicon.svg")},
    ],
    "SITE_URL": None,
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "DASHBOARD_CALLBACK": "billing_project.console.start_page.add_to_context",
    "STYLES": [lambda _request: static("console/console.css")],
    "SCRIPTS": [lambda _request: static("console/theme.js"), lambda _request: static("console/times.js")],
    "GLOBAL_CALLBACK": "billing_project.console.frame.around",
    "ENVIRONMENT_TITLE_PREFIX": "billing_project.console.frame.title_prefix",
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": "billing_project.console.menu.navigation",
    },
}
