"""Parsers of request bodies. What JSON leaves open, or the database cannot store, is a 400."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from django.conf import settings
from django.http import UnreadablePostError
from rest_framework.parsers import BaseParser

from carprice.http.errors import InvalidInput

MAX_DEPTH = 20
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # characters that PostgreSQL cannot store
BODY = "body"  # names the body as a whole in `errors`


class StrictJSONParser(BaseParser):
    """Parses UTF-8 JSON; refuses NaN, infinities, duplicate keys, NUL, surrogates, deep nesting."""

    media_type = "application/json"

    def parse(
        self,
        stream: Any,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        return parse_json(read_body(stream, parser_context))


class StrictFormParser(BaseParser):
    """Parses a URL-encoded form; refuses a repeated field, NUL and what is not UTF-8."""

    media_type = "application/x-www-form-urlencoded"

    def parse(
        self,
        stream: Any,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, str]:
        return parse_form(read_body(stream, parser_context))


def read_body(stream: Any, parser_context: Mapping[str, Any] | None) -> bytes:
    """The complete body of a request. Raises InvalidInput if the client broke off."""
    request = (parser_context or {})["request"]
    try:
        body: bytes = stream.read()
    except UnreadablePostError:
        body = b""
    if len(body) < int(request.META.get("CONTENT_LENGTH") or 0):
        _refuse(BODY, "The body is shorter than its Content-Length.")
    return body


def parse_json(body: bytes) -> Any:
    """The JSON value in `body`. Raises InvalidInput."""
    if not body.strip():
        return {}
    try:
        value = json.loads(
            body.decode("utf-8"), object_pairs_hook=_unique_fields, parse_constant=_NonFinite
        )
    except UnicodeDecodeError:
        _refuse(BODY, "The body is not UTF-8.")
    except RecursionError:
        _refuse(BODY, f"Nested deeper than {MAX_DEPTH} levels.")
    except ValueError as error:  # malformed, or an integer of thousands of digits
        _refuse(BODY, f"The body is not JSON: {str(error).split(';')[0]}.")
    _check(value, field=BODY, depth=1)
    return value


def parse_form(body: bytes) -> dict[str, str]:
    """The fields of a URL-encoded form. Raises InvalidInput."""
    on_error = "surrogateescape"  # so that `_check` can name the field that is not UTF-8
    try:
        pairs = parse_qsl(
            body.decode("utf-8", on_error),
            keep_blank_values=True,
            errors=on_error,
            max_num_fields=settings.DATA_UPLOAD_MAX_NUMBER_FIELDS,
        )
    except ValueError:
        _refuse(BODY, f"More than {settings.DATA_UPLOAD_MAX_NUMBER_FIELDS} fields.")
    fields = _unique_fields(pairs)
    _check(fields, field=BODY, depth=1)
    return fields


class _NonFinite:
    """Stands for NaN, Infinity and -Infinity until `_check` can name their field."""

    def __init__(self, literal: str) -> None:
        self.literal = literal


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            _refuse(name if _is_storable(name) else BODY, "This field is given twice.")
        fields[name] = value
    return fields


def _check(value: Any, *, field: str, depth: int) -> None:
    if isinstance(value, dict | list) and depth > MAX_DEPTH:
        _refuse(field, f"Nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, dict):
        for name, item in value.items():
            if not _is_storable(name):
                _refuse(field, "A field name contains a NUL or what is no character.")
            _check(item, field=name, depth=depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, field=field, depth=depth + 1)
    else:
        _check_scalar(value, field)


def _check_scalar(value: Any, field: str) -> None:
    if isinstance(value, str) and not _is_storable(value):
        _refuse(field, "The text contains a NUL or what is no character.")
    if isinstance(value, _NonFinite):
        _refuse(field, f"{value.literal} is not a JSON number.")
    if isinstance(value, float) and not math.isfinite(value):
        _refuse(field, "The number is too large.")


def _is_storable(text: str) -> bool:
    return not _UNSTORABLE.search(text)


def _refuse(field: str, message: str) -> NoReturn:
    raise InvalidInput({field: [message]})
