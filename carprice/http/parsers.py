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

from carprice.http.errors import BODY, InvalidInput

MAX_DEPTH = 20
# No body that any route accepts comes near these. They keep what is not accepted from costing more
# to read, and to refuse, than it cost to send.
MAX_TOKENS = 20_000  # of JSON: texts, brackets, commas, colons
MAX_TEXT_LENGTH = 20_000  # of a name or a value
MAX_NUMBER_LENGTH = 4300  # more digits Python does not convert either
# A text, closed or not; a number, perhaps with what is none; or punctuation. Nothing in it is tried
# twice, so it takes time in proportion to the body.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.?)*+"?|[0-9.eE+-]++|[\[\]{}:,]', re.DOTALL)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # characters that PostgreSQL cannot store


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
    limit_bytes = settings.FORM_LIMIT_BYTES

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
    _check_tokens(body)
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


def _check_tokens(body: bytes) -> None:
    """Refuse a body with too many members or too long a number, before any of it is parsed."""
    for number, token in enumerate(_TOKEN.finditer(body), start=1):
        if number > MAX_TOKENS:
            _refuse(BODY, f"More than {MAX_TOKENS:,} names, values and brackets.")
        if token.end() - token.start() > MAX_NUMBER_LENGTH and token[0][:1] != b'"':
            _refuse(BODY, f"A number has more than {MAX_NUMBER_LENGTH:,} digits.")


class _NonFinite:
    """Stands for NaN, Infinity and -Infinity until `_check` can name their field."""

    def __init__(self, literal: str) -> None:
        self.literal = literal


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            _refuse(name if _is_name(name) else BODY, "This field is given twice.")
        fields[name] = value
    return fields


def _check(value: Any, *, field: str, depth: int) -> None:
    if isinstance(value, dict | list) and depth > MAX_DEPTH:
        _refuse(field, f"Nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, dict):
        for name, item in value.items():
            if not _is_storable(name):
                _refuse(field, "A field name contains a NUL or what is no character.")
            if not _is_name(name):
                _refuse(field, f"A field name has more than {MAX_TEXT_LENGTH:,} characters.")
            _check(item, field=name, depth=depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, field=field, depth=depth + 1)
    else:
        _check_scalar(value, field)


def _check_scalar(value: Any, field: str) -> None:
    if isinstance(value, str) and len(value) > MAX_TEXT_LENGTH:
        _refuse(field, f"The text has more than {MAX_TEXT_LENGTH:,} characters.")
    if isinstance(value, str) and not _is_storable(value):
        _refuse(field, "The text contains a NUL or what is no character.")
    if isinstance(value, _NonFinite):
        instead = " Send null for what is not known." if value.literal == "NaN" else ""
        _refuse(field, f"{value.literal} is not a JSON number.{instead}")
    if isinstance(value, float) and not math.isfinite(value):
        _refuse(field, "The number is too large.")


def _is_name(text: str) -> bool:
    return len(text) <= MAX_TEXT_LENGTH and _is_storable(text)


def _is_storable(text: str) -> bool:
    return not _UNSTORABLE.search(text)


def _refuse(field: str, message: str) -> NoReturn:
    raise InvalidInput({field: [message]})
