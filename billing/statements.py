"""What happened to an account in a month: what it had, each movement, and what it had then."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

from django.db.models import Count, QuerySet, Sum
from django.db.models.functions import TruncDate

from accounts.models import User
from billing.models import LedgerEntry

Kind = LedgerEntry.Kind
MOST_LISTED = 500  # movements; of a month with more, each day is summed up
BATCH = 1000


@dataclass(frozen=True)
class Month:
    year: int
    month: int

    def __str__(self) -> str:
        return f"{self.year}-{self.month:02}"

    @classmethod
    def of(cls, at: date) -> "Month":
        return cls(at.year, at.month)

    @property
    def start(self) -> datetime:
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def next(self) -> "Month":
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def is_over(self) -> bool:
        return self.next.start <= datetime.now(UTC)


@dataclass(frozen=True)
class Line:
    """A movement, or all of one kind on a day; then it has a count and no subject."""

    at: datetime | date
    kind: str
    change: int
    count: int = 1
    subject_id: UUID | None = None
    reason: str = ""


@dataclass(frozen=True)
class Statement:
    """The lines add up to the difference of `opening` and `closing`."""

    month: Month
    opening: int
    lines: list[Line]
    closing: int
    is_by_day: bool


def months_of(user: User) -> list[Month]:
    """Every month since the user signed up, the newest first."""
    months, last = [Month.of(user.date_joined)], Month.of(datetime.now(UTC))
    while months[-1] != last:
        months.append(months[-1].next)
    return months[::-1]


def statement_of(user: User, month: Month) -> Statement:
    entries = _entries(user, month)
    newest = list(entries.order_by("-id")[: MOST_LISTED + 1])
    is_by_day = len(newest) > MOST_LISTED
    lines = _by_day(entries) if is_by_day else [line_of(entry) for entry in reversed(newest)]
    opening = balance_before(user, month)
    return Statement(month, opening, lines, opening + sum(each.change for each in lines), is_by_day)


def balance_before(user: User, month: Month) -> int:
    earlier = LedgerEntry.objects.posted_of(user).filter(created_at__lt=month.start)
    last = earlier.order_by("-id").values_list("balance_after", flat=True).first()
    return last or 0


def entries_of(user: User, month: Month) -> Iterator[LedgerEntry]:
    """Every movement of a month, the oldest first, read in batches."""
    last_id = 0
    while batch := list(_entries(user, month).filter(id__gt=last_id).order_by("id")[:BATCH]):
        yield from batch
        last_id = batch[-1].pk


def line_of(entry: LedgerEntry) -> Line:
    return Line(
        entry.created_at,
        entry.kind,
        entry.balance_change,
        subject_id=entry.subject_id,
        reason=entry.reason,
    )


def _entries(user: User, month: Month) -> QuerySet[LedgerEntry]:
    entries = LedgerEntry.objects.posted_of(user)
    return entries.filter(created_at__gte=month.start, created_at__lt=month.next.start)


def _by_day(entries: QuerySet[LedgerEntry]) -> list[Line]:
    days = entries.annotate(day=TruncDate("created_at", tzinfo=UTC)).values("day", "kind")
    sums = days.annotate(change=Sum("balance_change"), count=Count("*")).order_by("day", "kind")
    return [Line(row["day"], row["kind"], row["change"], row["count"]) for row in sums]
