"""Bodies as the contract wants them: what a parser or the database would stumble on is a 400."""

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
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # what PostgreSQL cannot keep
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
        return parse(read_whole(stream, parser_context))


class StrictFormParser(BaseParser):
    """Parses a URL-encoded form; refuses a field given twice, NUL and what is not UTF-8."""

    media_type = "application/x-www-form-urlencoded"

    def parse(
        self,
        stream: Any,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, str]:
        return parse_form(read_whole(stream, parser_context))


def read_whole(stream: Any, parser_context: Mapping[str, Any] | None) -> bytes:
    """The body of a request, all of it. Raises InvalidInput if the client went away before."""
    request = (parser_context or {})["request"]
    try:
        body: bytes = stream.read()
    except UnreadablePostError:
        body = b""
    if len(body) < int(request.META.get("CONTENT_LENGTH") or 0):
        _refuse(BODY, "The body is shorter than its Content-Length.")
    return body


def parse(body: bytes) -> Any:
    """The JSON value in `body`. Raises InvalidInput."""
    if not body.strip():
        return {}
    try:
        value = json.loads(
            body.decode("utf-8"), object_pairs_hook=_object, parse_constant=_Unrepresentable
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
    escape = "surrogateescape"  # so that `_check` can name the field that is not UTF-8
    try:
        pairs = parse_qsl(
            body.decode("utf-8", escape),
            keep_blank_values=True,
            errors=escape,
            max_num_fields=settings.DATA_UPLOAD_MAX_NUMBER_FIELDS,
        )
    except ValueError:
        _refuse(BODY, f"More than {settings.DATA_UPLOAD_MAX_NUMBER_FIELDS} fields.")
    fields = _object(pairs)
    _check(fields, field=BODY, depth=1)
    return fields


class _Unrepresentable:
    """Stands for NaN, Infinity and -Infinity until `_check` can name their field."""

    def __init__(self, literal: str) -> None:
        self.literal = literal


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            _refuse(key if _is_storable(key) else BODY, "This field is given twice.")
        result[key] = value
    return result


def _check(value: Any, *, field: str, depth: int) -> None:
    if isinstance(value, dict | list) and depth > MAX_DEPTH:
        _refuse(field, f"Nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, dict):
        for key, item in value.items():
            if not _is_storable(key):
                _refuse(field, "A field name contains a NUL or what is no character.")
            _check(item, field=key, depth=depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, field=field, depth=depth + 1)
    else:
        _check_scalar(value, field)


def _check_scalar(value: Any, field: str) -> None:
    if isinstance(value, str) and not _is_storable(value):
        _refuse(field, "The text contains a NUL or what is no character.")
    if isinstance(value, _Unrepresentable):
        _refuse(field, f"{value.literal} is not a JSON number.")
    if isinstance(value, float) and not math.isfinite(value):
        _refuse(field, "The number is too large.")


def _is_storable(text: str) -> bool:
    return not _UNSTORABLE.search(text)


def _refuse(field: str, message: str) -> NoReturn:
    raise InvalidInput({field: [message]})
