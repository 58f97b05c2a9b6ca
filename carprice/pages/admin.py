"""Base classes of admin pages: rows that cannot be edited, and changes that are logged."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.http import HttpRequest
from django.utils.functional import cached_property

LISTED = 2_000  # rows of a list: to count millions would take longer than all else of its page


class LongListPaginator(Paginator):  # type: ignore[type-arg]  # generic only in the stubs
    """Of a list's first rows, however many there are behind them."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[:LISTED].count())

    @property
    def may_have_more(self) -> bool:
        return self.count == LISTED


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic only in the stubs
    show_full_result_count = False
    paginator = LongListPaginator
    change_list_template = "admin/long_list.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class LoggedValues:
    """Of an admin class: its log says what each changed field was before, and what it is now.

    Of `private_fields`, which are personal or secret, it says only that they have changed.
    """

    private_fields: Sequence[str] = ()

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> list[Any]:
        message: list[Any] = super().construct_change_message(request, form, formsets, add)  # type: ignore[misc]
        if form.changed_data and not add:
            fields = [self._change_of(form, name) for name in form.changed_data]
            message[0] = {"changed": {"fields": fields}}
        return message

    def _change_of(self, form: Any, name: str) -> str:
        field = form.fields.get(name)  # none of a new password, which has two
        label = str((field and field.label) or name)
        if field is None or name in self.private_fields:
            return label
        before, after = form.initial.get(name), form.cleaned_data.get(name)
        return f"{label}: {_as_text(before)} → {_as_text(after)}"


def _as_text(value: Any) -> str:
    """A field's value; of several, all of them."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(sorted(map(str, value))) or "none"
    return str(value)
