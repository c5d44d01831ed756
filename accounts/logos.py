"""The picture at the head of a company's documents."""

from datetime import datetime

from django.db import transaction

from accounts.errors import LogoRefused
from accounts.models import Company, CompanyLogo
from core.pictures import look_at
from core.typesetting import TypesettingFailed, typeset

MOST_BYTES = 200_000
MOST_PIXELS = 3_000


def set_logo(*, company: Company, image: bytes, now: datetime) -> CompanyLogo:
    """Give a company its logo, in place of the one it has.

    :param image: a PNG or JPEG of at most 200 kB and 3,000 pixels each way
    :raises LogoRefused: if it is none, or cannot be drawn
    """
    if len(image) > MOST_BYTES:
        raise LogoRefused(f"a logo has at most {MOST_BYTES // 1000} kB, and this one has {-(-len(image) // 1000)}")
    picture = look_at(image)
    if picture is None:
        raise LogoRefused("a logo is a PNG or a JPEG picture")
    if not (0 < picture.width <= MOST_PIXELS and 0 < picture.height <= MOST_PIXELS):
        raise LogoRefused(
            f"a logo has at most {MOST_PIXELS:,} pixels each way, and this one {picture.width:,} by {picture.height:,}"
        )
    try:
        # Only drawing it tells whether it can be; better now than on an invoice.
        typeset("logo.typ", {"bytes": list(image), "format": picture.format}, created_at=now)
    except TypesettingFailed as error:
        raise LogoRefused("the picture is damaged: it cannot be drawn") from error
    values = {"image": image, "format": picture.format, "set_at": now}
    return CompanyLogo.objects.update_or_create(company=company, defaults=values)[0]


@transaction.atomic
def remove_logo(*, company: Company) -> None:
    """Take a company's logo away; its documents begin with its name."""
    CompanyLogo.objects.filter(company=company).delete()
