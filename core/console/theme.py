"""The theme's base classes under names of ours. Another theme would be a change of this file and of ``templates/``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unfold.enums import ActionVariant

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin as ThemedModelAdmin
    from django.contrib.admin import TabularInline as ThemedTabularInline
    from django.contrib.admin.views.main import ChangeList as ThemedChangeList
    from django.contrib.auth.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
    from django.forms import CheckboxSelectMultiple as CheckboxList
    from django.forms import ClearableFileInput as FileInput
else:
    from unfold.admin import ModelAdmin as ThemedModelAdmin
    from unfold.admin import TabularInline as ThemedTabularInline
    from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
    from unfold.views import ChangeList as ThemedChangeList
    from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget as CheckboxList
    from unfold.widgets import UnfoldAdminFileFieldWidget as FileInput

__all__ = [
    "AdminPasswordChangeForm",
    "Button",
    "CheckboxList",
    "FileInput",
    "ThemedChangeList",
    "ThemedModelAdmin",
    "ThemedTabularInline",
    "UserChangeForm",
    "UserCreationForm",
    "add_buttons",
]


@dataclass(frozen=True, slots=True)
class Button:
    """A link at the head of a page that leads to an action."""

    title: str
    path: str
    icon: str
    warns: bool = False


def add_buttons(context: dict[str, Any], buttons: Sequence[Button]) -> None:
    """Have the theme draw buttons at the head of the page whose context this is."""
    context["actions_detail"] = [
        {
            "title": button.title,
            "path": button.path,
            "icon": button.icon,
            "variant": ActionVariant.DEFAULT,
            # What cannot be undone is written in red, and not filled with it: there are pages with four of them.
            "attrs": {"data-warns": "yes"} if button.warns else {},
            "dialog": None,
        }
        for button in buttons
    ]
