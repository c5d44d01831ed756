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
    "SCRIPTS": [lambda _request: static("console/times.js")],
    "BORDER_RADIUS": "6px",
    "COLORS": {
        "primary": {
            "50": "oklch(97.1% .014 220)",
            "100": "oklch(94% .032 221)",
            "200": "oklch(88.6% .06 222)",
            "300": "oklch(80.5% .095 224)",
            "400": "oklch(69.5% .115 228)",
            "500": "oklch(59% .115 231)",
            "600": "oklch(50% .105 233)",
            "700": "oklch(43.5% .09 234)",
            "800": "oklch(38% .075 235)",
            "900": "oklch(33.5% .06 236)",
            "950": "oklch(25% .045 238)",
        },
    },
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": "billing_project.console.menu.navigation",
    },
}
