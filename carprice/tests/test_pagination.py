"""Pages of a list that grows, tried on the ledger; and the parameters that ask for one."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.signing import Signer
from django.db import connection
from django.http import QueryDict
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory, force_authenticate

from accounts.models import User
from billing import services
from billing.models import LedgerEntry
from carprice.db.dialect import Moment
from carprice.http.errors import InvalidInput
from carprice.http.pagination import CursorPages, DatedPageQuery, PageQuery, created_between
from carprice.http.queries import OneOfField

pytestmark = pytest.mark.django_db
BY_ID = CursorPages("entries", order=("id",))
BY_TIME = CursorPages("entries", order=("created_at", "id"))
BOTH = pytest.mark.parametrize("pages", [BY_ID, BY_TIME], ids=["by id", "by time and id"])
NOON = datetime(2026, 5, 10, 12, tzinfo=UTC)


class EntryQuery(DatedPageQuery):
    kind = OneOfField(["top_up", "adjustment"], default=None)


def request_of(user: User, url: str = "/entries") -> Request:
    request = APIRequestFactory().get(url)
    force_authenticate(request, user)
    return Request(request)


def fetch(pages: CursorPages, user: User, url: str = "/entries") -> dict[str, Any]:
    """The page at `url`, its results as the ids of entries."""
    request = request_of(user, url)
    query = EntryQuery.check(request)
    rows = created_between(LedgerEntry.objects.filter(account_id=user.pk), query)
    if query["kind"]:
        rows = rows.filter(kind=query["kind"])
    page: dict[str, Any] = pages.respond(
        request, rows, query, lambda rows: [{"id": row.pk} for row in rows]
    ).data
    return {**page, "results": [item["id"] for item in page["results"]]}


def walk(
    pages: CursorPages, user: User, url: str | None, direction: str = "next"
) -> Iterator[list[int]]:
    """The results of page after page, from `url` on until there is none."""
    while url:
        page = fetch(pages, user, url)
        yield page["results"]
        url = page[direction]


def write(user: User, count: int, at: datetime | None = None) -> list[int]:
    """Add entries, at the database's time or all at one; returns their ids, newest first."""
    times = {"created_at": Moment(at)} if at else {}
    entries = [
        LedgerEntry.objects.create(
            account_id=user.pk,
            kind="top_up",
            balance_change=1,
            held_change=0,
            balance_after=1,
            held_after=0,
            **times,
        )
        for _ in range(count)
    ]
    return [entry.pk for entry in reversed(entries)]


@pytest.fixture
def user(make_user: Callable[..., User]) -> User:
    """Somebody without an entry."""
    return make_user(credit=0)


# --- Walking -------------------------------------------------------------------------------------


@BOTH
def test_an_empty_list_is_one_empty_page(pages: CursorPages, user: User) -> None:
    assert fetch(pages, user) == {"next": None, "previous": None, "results": []}


@BOTH
def test_a_list_that_fits_is_one_page_newest_first(pages: CursorPages, user: User) -> None:
    ids = write(user, 50)

    assert fetch(pages, user) == {"next": None, "previous": None, "results": ids}


@BOTH
def test_a_page_has_fifty_and_the_last_what_is_left(pages: CursorPages, user: User) -> None:
    ids = write(user, 101)

    walked = list(walk(pages, user, "/entries"))

    assert walked == [ids[:50], ids[50:100], ids[100:]]


@BOTH
@pytest.mark.parametrize("count", [1, 3, 4, 6, 7, 12])
def test_forwards_and_backwards_meet_the_same_pages(
    pages: CursorPages, user: User, count: int
) -> None:
    write(user, count, at=NOON)
    forwards = list(walk(pages, user, "/entries?page_size=3"))
    url = last = "/entries?page_size=3"
    while url:
        last, url = url, fetch(pages, user, url)["next"]

    backwards = list(walk(pages, user, last, "previous"))

    assert len(forwards) == -(-count // 3)
    assert backwards == forwards[::-1]


@BOTH
def test_the_last_page_of_a_full_list_has_no_next(pages: CursorPages, user: User) -> None:
    write(user, 4)

    last = fetch(pages, user, fetch(pages, user, "/entries?page_size=2")["next"])

    assert (last["next"], len(last["results"])) == (None, 2)


@BOTH
@pytest.mark.parametrize("seed", range(5))
def test_walking_while_rows_are_added_meets_each_row_once(
    pages: CursorPages, user: User, seed: int
) -> None:
    chance = random.Random(seed)
    before = write(user, 20, at=NOON)
    url, met = f"/entries?page_size={chance.randint(1, 7)}", []
    while url:
        page = fetch(pages, user, url)
        met += page["results"]
        back, url = page["previous"], page["next"]
        write(user, chance.randint(0, 3))
    newer = [row for results in walk(pages, user, back, "previous") for row in results]

    assert met == before
    assert len(newer) == len(set(newer))
    assert set(newer) | set(page["results"]) == set(
        LedgerEntry.objects.filter(account_id=user.pk).values_list("pk", flat=True)
    )


@BOTH
def test_going_back_shows_what_was_added_since(pages: CursorPages, user: User) -> None:
    ids = write(user, 4)
    second = fetch(pages, user, fetch(pages, user, "/entries?page_size=2")["next"])
    added = write(user, 1)

    back = fetch(pages, user, second["previous"])
    top = fetch(pages, user, back["previous"])

    assert (back["results"], top["results"]) == (ids[:2], added)
    assert top["previous"] is None
    assert fetch(pages, user, top["next"])["results"] == ids[:2]


def test_rows_of_one_time_are_told_apart_by_their_ids(user: User) -> None:
    ids = write(user, 30, at=NOON)

    met = [row for page in walk(BY_TIME, user, "/entries?page_size=4") for row in page]

    assert met == ids


def test_time_goes_before_the_id(user: User) -> None:
    late = write(user, 2, at=NOON + timedelta(milliseconds=1))
    early = write(user, 2, at=NOON)

    met = [row for page in walk(BY_TIME, user, "/entries?page_size=1") for row in page]

    assert met == [*late, *early]


@BOTH
def test_an_emptied_page_leads_back_to_where_it_came_from(pages: CursorPages, user: User) -> None:
    ids = write(user, 2)
    request, rows = request_of(user), LedgerEntry.objects.filter(account_id=user.pk)
    first = pages.respond(request, rows, {"cursor": None, "page_size": 1}, lambda rows: [])
    second = f"{first.data['next']}&created_after=9000-01-01T00:00:00Z"

    empty = fetch(pages, user, second)

    assert (empty["results"], empty["next"]) == ([], None)
    back = empty["previous"].replace("9000-01", "2000-01")
    assert fetch(pages, user, back)["results"] == [ids[0]]


@BOTH
def test_an_emptied_page_leads_on_to_where_it_came_from(pages: CursorPages, user: User) -> None:
    ids = write(user, 3)
    second = fetch(pages, user, fetch(pages, user, "/entries?page_size=1")["next"])

    empty = fetch(pages, user, second["previous"] + "&created_after=9000-01-01T00:00:00Z")

    assert (empty["results"], empty["previous"]) == ([], None)
    on = empty["next"].replace("9000-01", "2000-01")
    assert fetch(pages, user, on)["results"] == [ids[1]]


def test_links_are_absolute_and_keep_the_filters(user: User) -> None:
    write(user, 3)
    url = "/entries?kind=top_up&page_size=1&created_after=2020-01-01T01:00:00%2B01:00"

    link = fetch(BY_ID, user, url)["next"]

    parts = urlsplit(link)
    query = parse_qs(parts.query)
    assert (parts.scheme, parts.netloc, parts.path) == ("http", "testserver", "/entries")
    assert len(query.pop("cursor")) == 1
    assert query == parse_qs(urlsplit(url).query)


def test_a_link_holds_one_cursor_however_far_one_walks(user: User) -> None:
    write(user, 4)
    url = "/entries?page_size=1"

    for _ in range(3):
        url = fetch(BY_ID, user, url)["next"]

    assert url.count("cursor=") == 1


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("pages", "index"),
    [(BY_ID, "(account_id, id DESC)"), (BY_TIME, "(account_id, created_at DESC, id DESC)")],
    ids=["by id", "by time and id"],
)
def test_a_page_is_found_by_the_index_alone(pages: CursorPages, user: User, index: str) -> None:
    write(user, 3)
    _, cursor, _ = pages._fetch(LedgerEntry.objects.filter(account_id=user.pk), None, 2)
    assert cursor
    rows = LedgerEntry.objects.filter(pages._beyond(LedgerEntry, cursor), account_id=user.pk)
    connection.check_constraints()  # pending ones are in an index's way
    with connection.cursor() as statements:
        statements.execute(f"CREATE INDEX walked ON billing_ledgerentry {index}")
        statements.execute("SET LOCAL enable_seqscan = off")
        statements.execute("SET LOCAL enable_bitmapscan = off")

    plan = rows.order_by(*(f"-{name}" for name in pages.order))[:2].explain()

    assert "Index Scan" in plan
    assert "Sort" not in plan
    assert "Filter" not in plan


# --- Cursors that are refused --------------------------------------------------------------------


def next_cursor(pages: CursorPages, user: User) -> str:
    link = fetch(pages, user, "/entries?page_size=1")["next"]
    return str(parse_qs(urlsplit(link).query)["cursor"][0])


def refused(pages: CursorPages, user: User, cursor: str) -> bool:
    try:
        fetch(pages, user, "/entries?" + _encode(cursor=cursor))
    except (InvalidInput, serializers.ValidationError) as error:
        named = error.errors if isinstance(error, InvalidInput) else error.detail
        return list(named) == ["cursor"]
    return False


def _encode(**parameters: str) -> str:
    query = QueryDict(mutable=True)
    query.update(parameters)
    return query.urlencode()


@pytest.mark.parametrize("place", range(0, 60, 7))
def test_a_cursor_with_one_character_changed_is_refused(user: User, place: int) -> None:
    write(user, 2)
    cursor = next_cursor(BY_ID, user)
    at = place % len(cursor)
    other = "A" if cursor[at] != "A" else "B"

    assert not refused(BY_ID, user, cursor)
    assert refused(BY_ID, user, cursor[:at] + other + cursor[at + 1 :])


@pytest.mark.parametrize(
    "cursor",
    ["", " ", "0", "abc", ".", "a.b", "\x00", "é", "\N{GRINNING FACE}", "x" * 501, "' OR 1=1--"],
)
def test_what_is_no_cursor_is_refused(user: User, cursor: str) -> None:
    assert refused(BY_ID, user, cursor)


def test_a_cursor_signed_without_the_lists_name_is_refused(user: User) -> None:
    assert refused(BY_ID, user, Signer(sep=".").sign_object(["lt", ["5"]]))


def test_a_cursor_of_another_list_or_order_is_refused(user: User) -> None:
    write(user, 2)
    cursor = next_cursor(BY_ID, user)

    assert refused(CursorPages("others", order=("id",)), user, cursor)
    assert refused(BY_TIME, user, cursor)


def test_a_cursor_of_another_user_is_refused(user: User, make_user: Callable[..., User]) -> None:
    write(user, 2)
    cursor = next_cursor(BY_ID, user)

    assert refused(BY_ID, make_user("bob@example.com"), cursor)


# --- Parameters ----------------------------------------------------------------------------------


def check(query: str) -> dict[str, Any]:
    return EntryQuery.check(Request(APIRequestFactory().get(f"/entries?{query}")))


def bad(query: str) -> dict[str, list[str]]:
    """The messages by parameter of a query that is refused."""
    with pytest.raises(serializers.ValidationError) as refusal:
        check(query)
    assert isinstance(refusal.value.detail, dict)
    return {
        name: [str(message) for message in messages]
        for name, messages in refusal.value.detail.items()
    }


def test_nothing_given_is_the_first_page_of_everything() -> None:
    assert check("") == {
        "cursor": None,
        "page_size": 50,
        "created_after": None,
        "created_before": None,
        "kind": None,
    }


@pytest.mark.parametrize(
    ("page_size", "taken"),
    [("1", 1), ("007", 7), ("100", 100), ("101", 100), ("1000000000", 100), ("9" * 5000, 100)],
)
def test_the_size_of_a_page_is_capped(page_size: str, taken: int) -> None:
    assert check(f"page_size={page_size}")["page_size"] == taken


@pytest.mark.parametrize(
    "size",
    ["", "0", "00", "-1", "abc", "1.5", "1e2", "1_0", "%201", "+1", "%EF%BC%91", "null", "NaN"],
)
def test_a_bad_size_of_a_page_is_named(size: str) -> None:
    assert list(bad(f"page_size={size}")) == ["page_size"]


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-10T12:00:00Z",
        "2026-05-10T12:00:00.000Z",
        "2026-05-10T14:00:00%2B02:00",
        "2026-05-10T06:30:00-05:30",
        "2026-05-10%2012:00:00Z",
        "20260510T120000Z",
    ],
)
def test_a_time_is_taken_in_any_zone(text: str) -> None:
    assert check(f"created_after={text}")["created_after"] == NOON


@pytest.mark.parametrize("name", ["created_after", "created_before"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-05-10",
        "2026-05-10T12:00:00",  # no zone
        "2026-05-10T12:00:00 02:00",  # a + that was not encoded
        "9999-99-99",
        "2026-02-30T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00%2B14:00",
        "1899-12-31T23:59:59Z",
        "9999-01-01T00:00:00Z",
        "9999-12-31T23:59:59-14:00",
        "10000-01-01T00:00:00Z",
        "2026-05-10T12:00:00%2B99:99",
        "2026-05-10T12:00:00%2B24:00",
        "2026-05-10T12:00:00-23:60",
        "2026-05-10T25:00:00Z",
        "%EF%BC%92026-05-10T12:00:00Z",
        "1747828800",
        "NaN",
        "2026-05-10T12:00:00Z%00",
        "9" * 5000,
    ],
)
def test_a_bad_time_is_named(name: str, text: str) -> None:
    assert list(bad(f"{name}={text}")) == [name]


def test_a_span_that_ends_before_it_begins_is_refused() -> None:
    span = "created_after=2026-05-10T12:00:01Z&created_before=2026-05-10T12:00:00Z"

    assert bad(span) == {"created_after": ["This is later than created_before."]}


def test_a_span_of_no_length_holds_nothing(user: User) -> None:
    write(user, 1, at=NOON)
    time = NOON.isoformat().replace("+", "%2B")

    page = fetch(BY_ID, user, f"/entries?created_after={time}&created_before={time}")

    assert page["results"] == []


@pytest.mark.parametrize(
    ("limits", "places"),
    [
        ({"created_after": "12:00:00.000"}, [2, 1]),
        ({"created_after": "12:00:00.001"}, [2]),
        ({"created_before": "12:00:00.002"}, [1, 0]),
        ({"created_before": "12:00:00.001500"}, [1, 0]),
        ({"created_after": "12:00:00.000", "created_before": "12:00:00.002"}, [1]),
        ({"created_before": "12:00:00"}, []),
    ],
)
def test_both_ends_of_a_span_are_exclusive(
    user: User, limits: dict[str, str], places: list[int]
) -> None:
    ids = [write(user, 1, at=NOON + timedelta(milliseconds=number))[0] for number in range(3)]

    query = _encode(**{name: f"2026-05-10T{time}Z" for name, time in limits.items()})

    assert fetch(BY_ID, user, f"/entries?{query}")["results"] == [ids[place] for place in places]


def test_the_time_the_database_wrote_is_its_own_limit(user: User) -> None:
    services.top_up(user_id=user.pk, amount=1)
    entry = LedgerEntry.objects.get(account_id=user.pk)
    time = entry.created_at.isoformat()

    for limit in ("created_after", "created_before"):
        page = fetch(BY_TIME, user, f"/entries?{_encode(**{limit: time})}")

        assert page["results"] == []


def test_a_word_that_is_no_choice_is_told_the_choices() -> None:
    assert bad("kind=hold") == {"kind": ["Choose one of: top_up, adjustment."]}
    assert bad("kind=") == {"kind": ["Choose one of: top_up, adjustment."]}
    assert bad("kind=TOP_UP") == {"kind": ["Choose one of: top_up, adjustment."]}


def test_an_unknown_parameter_is_named_beside_the_bad_ones() -> None:
    assert list(bad("ordering=user__password&page_size=0&page=2")) == [
        "page_size",
        "ordering",
        "page",
    ]


def test_a_parameter_given_twice_is_named() -> None:
    assert bad("kind=top_up&kind=top_up") == {"kind": ["Give this once."]}


def test_the_parameter_of_the_framework_is_let_through() -> None:
    assert "format" not in check("format=json")


def test_a_page_query_has_no_dates() -> None:
    with pytest.raises(serializers.ValidationError):
        PageQuery.check(Request(APIRequestFactory().get("/?created_after=2026-05-10T12:00:00Z")))
