"""Cursor pages for lists that grow, newest first; rows added meanwhile move nothing.

A cursor is the place of one row in the list's order, so a page is found by an index and not by
counting. It is signed for its list and its user: one that was changed, or is another's, is a 400.

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
            return PAGES.respond(request, rows, query, EntryBody.bodies)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar, cast

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
# Older rows come later in a list. Those with "or equal" lead back from a page that is empty.
LATER = {"lt": LessThan, "lte": LessThanOrEqual}
EARLIER = {"gt": GreaterThan, "gte": GreaterThanOrEqual}

M = TypeVar("M", bound=Model)
Cursor = tuple[str, Sequence[str]]  # which side of a row, and the row's place


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
    """The rows that a checked DatedPageQuery asks for."""
    if query["created_after"]:
        rows = rows.filter(created_at__gt=Moment(query["created_after"]))
    if query["created_before"]:
        rows = rows.filter(created_at__lt=Moment(query["created_before"]))
    return rows


def page_of(item: type[serializers.Serializer[Any]]) -> serializers.Serializer[Any]:
    """Describes a page in the OpenAPI document."""
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
        found, following, preceding = self._cut(rows, _read(cursor, signer), size)
        return Page(
            found,
            following and signer.sign_object(following),
            preceding and signer.sign_object(preceding),
        )

    def _cut(
        self, rows: QuerySet[M], cursor: Cursor | None, size: int
    ) -> tuple[list[M], Cursor | None, Cursor | None]:
        """One page's rows, and the cursors of the next and the previous page."""
        backwards = cursor is not None and cursor[0] in EARLIER
        if cursor:
            rows = rows.filter(self._beyond(rows.model, cursor))
        signs = "" if backwards else "-"
        found = list(rows.order_by(*(signs + name for name in self.order))[: size + 1])
        more = len(found) > size
        found = found[:size][:: -1 if backwards else 1]
        if not found:
            back = cursor and ("gte" if cursor[0] in LATER else "lte", cursor[1])
            return [], back if backwards else None, None if backwards else back
        following = ("lt", self._place(found[-1])) if backwards or more else None
        preceding = ("gt", self._place(found[0])) if (more if backwards else cursor) else None
        return found, following, preceding

    def _place(self, row: Model) -> list[str]:
        return [field.value_to_string(row) for field in self._fields(type(row))]

    def _beyond(self, model: type[Model], cursor: Cursor) -> Expression:
        """The condition (a, b) < (x, y), which an index on a and b answers as it stands."""
        compare: Any = {**LATER, **EARLIER}[cursor[0]]
        values = [
            _value(field, field.to_python(text))
            for field, text in zip(self._fields(model), cursor[1], strict=True)
        ]
        return cast("Expression", compare(_Row(*map(F, self.order)), _Row(*values)))

    def _fields(self, model: type[Model]) -> list[Field[Any, Any]]:
        return [
            cast("Field[Any, Any]", model._meta.get_field(name))  # noqa: SLF001  # public API
            for name in self.order
        ]


class _Row(Func):
    """Several values that are compared as one: first by the first, where equal by the second."""

    template = "(%(expressions)s)"
    output_field = BooleanField()  # any; a row is only ever compared


def _value(field: Field[Any, Any], value: Any) -> Value:
    return Moment(value) if isinstance(value, datetime) else Value(value, output_field=field)


def _read(text: str | None, signer: Signer) -> Cursor | None:
    if text is None:
        return None
    try:
        side, place = signer.unsign_object(text)
    except BadSignature:
        raise InvalidInput({"cursor": ["This is no cursor of this list."]}) from None
    return side, place
