"""What the templates around every page ask: ``{% load frame %}``."""

from typing import Any

from django import template

from accounts.models import Environment
from billing_project.console import frame

register = template.Library()


@register.simple_tag(takes_context=True)
def environment_of_page(context: template.Context) -> Environment | None:
    told: Any = context.flatten()
    return frame.environment_of_page(told)
