"""A base class of admin pages whose rows cannot be edited."""

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
