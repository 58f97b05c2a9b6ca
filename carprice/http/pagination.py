"""Keyset pagination of lists that grow, newest first.

A page does not begin after a number of rows but beyond one row, whose key is in the cursor: the
row's values of the columns that order the list, which are together unique. So rows that are added
meanwhile move nothing, and the database finds the page by an index instead of counting. A cursor
also has the side of the row on which its page lies, "lt" (less than) for older rows and "gt" for
newer ones. It is signed for its list and its user, and any other cursor is a 400.

    class EntryQuery(DatedPageQuery):
        kind = OneOfField(KINDS, default=None)

    PAGES = CursorPages("entries", order=("created_at", "id"))

    class EntriesView(ApiView):
        @extend_schema(
            parameters=[EntryQuery], responses={200: page_of(EntryBody), **errors(400, 401, 429)}
        )
        def get(self, request):
            query = EntryQuery.check(request)
            rows = created_between(Entry.objects.filter(user=request.user), query)
            return PAGES.respond(
                request, rows, query, lambda rows: EntryBody(rows, many=True).data
            )
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar, cast

from django.core.signing import BadSignature, Signer
from django.db.models import BooleanField, Expression, F, Field, Func, Model, QuerySet, Value
from django.db.models.lookups import GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual
from drf_spectacular.utils import inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from carprice.db.dialect import Moment
from carprice.http.errors import InvalidInput
from carprice.http.queries import CountField, QuerySerializer, TimeField
from carprice.http.serializers import StringField

PAGE_SIZE = 50
MAX_PAGE_SIZE = 100
# On which side of a row a page lies. A page that turns out empty has no row of its own to lead back
# by, so its cursor is used the other way around, and "or equal" keeps that row on the page.
OLDER = {"lt": LessThan, "lte": LessThanOrEqual}
NEWER = {"gt": GreaterThan, "gte": GreaterThanOrEqual}

M = TypeVar("M", bound=Model)


class Cursor(NamedTuple):
    """Where a page lies: beyond the row with this key, on one side of it."""

    side: str  # a key of OLDER or NEWER
    key: Sequence[str]  # the row's values of the columns that order the list, as text


class PageQuery(QuerySerializer):
    """Which page of a list."""

    cursor = StringField(
        max_length=500, default=None, help_text="From `next` or `previous` of another page."
    )
    page_size = CountField(
        cap=MAX_PAGE_SIZE, default=PAGE_SIZE, help_text=f"More than {MAX_PAGE_SIZE} is as much."
    )


class DatedPageQuery(PageQuery):
    """Which page of a list, and from when."""

    created_after = TimeField(default=None)
    created_before = TimeField(default=None)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        after, before = attrs["created_after"], attrs["created_before"]
        if after and before and after > before:
            raise serializers.ValidationError(
                {"created_after": ["This is later than created_before."]}
            )
        return attrs


def created_between(rows: QuerySet[M], query: Mapping[str, Any]) -> QuerySet[M]:
    """The rows of the time that a checked DatedPageQuery names."""
    if query["created_after"]:
        rows = rows.filter(created_at__gt=Moment(query["created_after"]))
    if query["created_before"]:
        rows = rows.filter(created_at__lt=Moment(query["created_before"]))
    return rows


def page_of(item: type[serializers.Serializer[Any]]) -> serializers.Serializer[Any]:
    """A page of these items, for the OpenAPI document."""
    return inline_serializer(
        f"{item.__name__}Page",
        {
            "next": serializers.URLField(allow_null=True, help_text="Older ones."),
            "previous": serializers.URLField(allow_null=True, help_text="Newer ones."),
            "results": item(many=True),
        },
    )


@dataclass(frozen=True)
class Page(Generic[M]):
    """Some rows of a list, and the cursors of the older and the newer ones."""

    rows: list[M]
    next: str | None
    previous: str | None


@dataclass(frozen=True)
class CursorPages:
    """The pages of one list, ordered by falling values of columns that are together unique."""

    name: str
    order: Sequence[str]

    def respond(
        self,
        request: Request,
        rows: QuerySet[M],
        query: Mapping[str, Any],
        serialize: Callable[[Sequence[M]], Any],
    ) -> Response:
        """The page of `rows` that a checked PageQuery asks for. Raises InvalidInput."""
        page = self.page(rows, request.user.pk, query["cursor"], query["page_size"])
        here = request.build_absolute_uri()

        def link(cursor: str | None) -> str | None:
            return cursor and replace_query_param(here, "cursor", cursor)

        return Response(
            {
                "next": link(page.next),
                "previous": link(page.previous),
                "results": serialize(page.rows),
            }
        )

    def page(self, rows: QuerySet[M], user_id: object, cursor: str | None, size: int) -> Page[M]:
        """The page of a user's `rows` that a cursor leads to. Raises InvalidInput."""
        signer = Signer(sep=".", salt=f"{self.name} {self.order} {user_id}")
        page_rows, following, preceding = self._fetch(rows, _read(cursor, signer), size)
        return Page(
            page_rows,
            following and signer.sign_object(following),
            preceding and signer.sign_object(preceding),
        )

    def page_or_first(
        self, rows: QuerySet[M], user_id: object, cursor: str | None, size: int
    ) -> Page[M]:
        """The page at an address's cursor; the first if it is wrong or has no rows left."""
        with suppress(InvalidInput):
            page = self.page(rows, user_id, cursor, size)
            if page.rows:
                return page
        return self.page(rows, user_id, None, size)

    def _fetch(
        self, rows: QuerySet[M], cursor: Cursor | None, size: int
    ) -> tuple[list[M], Cursor | None, Cursor | None]:
        """One page's rows, and the cursors of the next and the previous page."""
        backwards = cursor is not None and cursor.side in NEWER
        if cursor:
            rows = rows.filter(self._beyond(rows.model, cursor))
        sign = "" if backwards else "-"
        ordered = rows.order_by(*(sign + name for name in self.order))
        fetched = list(ordered[: size + 1])  # one more than the page, to see whether there are more
        has_more = len(fetched) > size
        page_rows = fetched[:size]
        if not page_rows:
            return [], *_lead_back(cursor)
        if backwards:
            page_rows.reverse()
        # On the side that the cursor came from there was a row, namely that of the cursor.
        has_older = backwards or has_more
        has_newer = has_more if backwards else cursor is not None
        return (
            page_rows,
            Cursor("lt", self._key(page_rows[-1])) if has_older else None,
            Cursor("gt", self._key(page_rows[0])) if has_newer else None,
        )

    def _key(self, row: Model) -> list[str]:
        return [field.value_to_string(row) for field in self._fields(type(row))]

    def _beyond(self, model: type[Model], cursor: Cursor) -> Expression:
        """The condition (a, b) < (x, y), which an index on a and b answers as it stands."""
        compare: Any = {**OLDER, **NEWER}[cursor.side]
        values = [
            _value(field, field.to_python(text))
            for field, text in zip(self._fields(model), cursor.key, strict=True)
        ]
        return cast("Expression", compare(_RowValue(*map(F, self.order)), _RowValue(*values)))

    def _fields(self, model: type[Model]) -> list[Field[Any, Any]]:
        return [
            cast("Field[Any, Any]", model._meta.get_field(name))  # noqa: SLF001  # public API
            for name in self.order
        ]


def _lead_back(cursor: Cursor | None) -> tuple[Cursor | None, Cursor | None]:
    """The cursors of the next and the previous page of an empty page, of which one is None."""
    if cursor is None:
        return None, None
    if cursor.side in NEWER:
        return Cursor("lte", cursor.key), None
    return None, Cursor("gte", cursor.key)


class _RowValue(Func):
    """SQL's row value: compared by its first value and, where that is equal, by the second."""

    template = "(%(expressions)s)"
    output_field = BooleanField()  # Django wants one; a row value is only ever compared


def _value(field: Field[Any, Any], value: Any) -> Value:
    return Moment(value) if isinstance(value, datetime) else Value(value, output_field=field)


def _read(text: str | None, signer: Signer) -> Cursor | None:
    if text is None:
        return None
    try:
        cursor = Cursor(*signer.unsign_object(text))
    except BadSignature:
        raise InvalidInput({"cursor": ["This is no cursor of this list."]}) from None
    return cursor
