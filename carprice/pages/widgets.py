"""Widgets that write their tags themselves.

Django's have a template for each tag, each list of attributes and each option, which took half of
the time of a form with thirty features.
"""

from typing import Any

from django import forms
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString


class TextInput(forms.TextInput):
    def render(
        self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None
    ) -> SafeString:
        widget = self.get_context(name, value, attrs)["widget"]
        text = "" if widget["value"] is None else format_html(' value="{}"', widget["value"])
        own = format_html('<input type="{}" name="{}"{}', widget["type"], widget["name"], text)
        return format_html("{}{}>", own, flatatt(widget["attrs"]))


class Select(forms.Select):
    """Without groups of options."""

    def render(
        self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None
    ) -> SafeString:
        widget = self.get_context(name, value, attrs)["widget"]
        options = format_html_join(
            "",
            '<option value="{}"{}>{}</option>',
            (
                (option["value"], flatatt(option["attrs"]), option["label"])
                for _, group, _ in widget["optgroups"]
                for option in group
            ),
        )
        own = format_html('<select name="{}"{}>', widget["name"], flatatt(widget["attrs"]))
        return format_html("{}{}</select>", own, options)
