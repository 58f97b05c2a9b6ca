"""Everything of one's own as a ZIP, written while it is read.

`zipfile` writes to whatever has a `write`: without `seek` it puts sizes behind each member. So the
standard library suffices, and what is in memory is one batch of rows and a few kilobytes of ZIP,
however many predictions there are. Rows are read in batches by an index (a keyset), in no
transaction, so a slow reader holds nothing in the database.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone

from accounts.models import TokenSession, User
from billing.models import CreditAccount, LedgerEntry
from carprice.pages.csv_files import csv_lines
from mlmodels.catalogue import queries
from predictions import results
from predictions.models import Prediction, ShareLink, WhatIf

BATCH = 1000
SENT_AT_ONCE = 65_536  # bytes

Record = dict[str, Any]

OF_A_PREDICTION = (
    "id", "label", "status", "domain", "model_name", "model_version", "price", "charged", "explain",
    "data", "entered", "defaulted", "value", "unit", "low", "high", "explanation", "failure",
    "created_at", "queued_at", "started_at", "finished_at",
)  # fmt: skip
OF_AN_ENTRY = (
    "id", "kind", "balance_change", "held_change", "balance_after", "held_after", "prediction",
    "reason", "created_at",
)  # fmt: skip
OF_A_LINK = ("prediction", "created_at", "expires_at")
OF_A_SESSION = ("created_at", "expires_at", "ended_at")


def export_response(user: User) -> StreamingHttpResponse:
    response = StreamingHttpResponse(stream(user), content_type="application/zip")
    response["Content-Disposition"] = 'attachment; filename="carprice-account.zip"'
    response["Content-Encoding"] = "identity"  # it is compressed as it is
    return response


def stream(user: User) -> Iterator[bytes]:
    """The bytes of the ZIP. No secret is in it: no password, token or address of a link."""
    sink = _Sink()
    with ZipFile(sink, "w", ZIP_DEFLATED) as archive:  # type: ignore[call-overload]  # any `write`
        for name, lines in _members(user).items():
            about = ZipInfo(name, time.gmtime()[:6])
            about.compress_type = ZIP_DEFLATED
            with archive.open(about, "w", force_zip64=True) as member:
                for line in lines():
                    member.write(line.encode())
                    if sink.size >= SENT_AT_ONCE:
                        yield sink.take()
    yield sink.take()


class _Sink:
    """A file that can only be written, and gives away what has been."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts, self.size = [], 0
        return data


def _members(user: User) -> dict[str, Callable[[], Iterator[str]]]:
    """What each file has, by its name."""
    submitted = _own(user).exclude(status=Prediction.Status.DRAFT)
    drafts = _own(user).filter(status=Prediction.Status.DRAFT)
    return {
        "account.json": lambda: iter([_json(_account(user), indent=1)]),
        "predictions.csv": lambda: _csv(OF_A_PREDICTION, map(_prediction, _each(submitted))),
        "predictions.jsonl": lambda: _jsonl(map(_prediction, _each(submitted))),
        "drafts.jsonl": lambda: _jsonl(map(_prediction, _each(drafts))),
        "what-ifs.jsonl": lambda: _jsonl(map(_what_if, _of_predictions(WhatIf, submitted))),
        "share-links.csv": lambda: _csv(
            OF_A_LINK, map(_link, _of_predictions(ShareLink, submitted))
        ),
        "ledger.csv": lambda: _csv(OF_AN_ENTRY, map(_entry, _entries(user))),
        "sessions.csv": lambda: _csv(OF_A_SESSION, map(_session, _sessions(user))),
    }


# --- Rows, in batches ----------------------------------------------------------------------------


def _own(user: User) -> Any:
    return Prediction.objects.of(user).for_display()


def _each(rows: Any) -> Iterator[Prediction]:
    return chain.from_iterable(rows.newest_batches(BATCH))


def _of_predictions(model: Any, rows: Any) -> Iterator[Any]:
    """What refers to predictions, some of which most have none."""
    for batch in rows.only("created_at").select_related(None).newest_batches(BATCH):
        yield from model.objects.filter(prediction__in=[row.pk for row in batch])


def _entries(user: User) -> Iterator[LedgerEntry]:
    rows: QuerySet[LedgerEntry] = LedgerEntry.objects.filter(account=user.pk).order_by("-pk")
    left = rows
    while batch := list(left[:BATCH]):
        yield from batch
        left = rows.filter(pk__lt=batch[-1].pk)


def _sessions(user: User) -> Iterator[TokenSession]:
    """One by one from the server: they are few, as the expired ones are purged."""
    return TokenSession.objects.filter(user=user).order_by("created_at").iterator(BATCH)


# --- What is told of each ------------------------------------------------------------------------


def _account(user: User) -> Record:
    account = CreditAccount.objects.get(pk=user.pk)
    return {
        "id": user.pk,
        "email": user.email,
        "name": user.name,
        "signed_up_at": user.date_joined,
        "last_signed_in_at": user.last_login,
        "balance": account.balance,
        "held": account.held,
        "exported_at": timezone.now(),
    }


def _prediction(row: Prediction) -> Record:
    interval, summary = results.interval_of(row), queries.summary_of(row.version_id)
    own = ("id", "label", "status", "price", "charged", "explain", "data", "entered", "defaulted")
    times = ("created_at", "queued_at", "started_at", "finished_at")
    return {
        **{name: getattr(row, name) for name in (*own, "value", "explanation", "failure", *times)},
        "domain": row.predictor.domain,
        "model_name": row.predictor.name,
        "model_version": row.version.label,
        "unit": summary.unit,
        "low": interval and interval.low,
        "high": interval and interval.high,
    }


def _what_if(row: WhatIf) -> Record:
    own = ("status", "data", "entered", "value", "failure", "created_at", "finished_at")
    return {"prediction": row.prediction_id, **{name: getattr(row, name) for name in own}}


def _link(row: ShareLink) -> Record:
    return {
        "prediction": row.prediction_id,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
    }


def _entry(row: LedgerEntry) -> Record:
    own = [name for name in OF_AN_ENTRY if name not in ("id", "prediction")]
    facts = {name: getattr(row, name) for name in own}
    return {**facts, "id": row.transaction_id, "prediction": row.subject_id}


def _session(row: TokenSession) -> Record:
    return {name: getattr(row, name) for name in OF_A_SESSION}


# --- As text -------------------------------------------------------------------------------------


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False, indent=indent) + "\n"


def _jsonl(records: Iterator[Record]) -> Iterator[str]:
    return map(_json, records)


def _csv(names: Sequence[str], records: Iterator[Record]) -> Iterator[str]:
    return csv_lines(names, ([_cell(record[name]) for name in names] for record in records))


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return value.isoformat() if hasattr(value, "isoformat") else value
