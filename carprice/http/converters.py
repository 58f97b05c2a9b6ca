"""Ids are parsed once, where they come in: in a URL by `<id:name>`, elsewhere by `parse_id`."""

from uuid import UUID

from django.urls import register_converter

NIL = UUID(int=0)  # no row has this id


def parse_id(text: str) -> UUID:
    """A UUID in any form that Python accepts; NIL for any other text.

    So a malformed id is refused as an unknown one is: at the same point and in the same words.
    """
    try:
        return UUID(text)
    except ValueError:
        return NIL


class IdConverter:
    """`<id:name>` in a URL."""

    regex = "[^/]+"

    def to_python(self, value: str) -> UUID:
        return parse_id(value)

    def to_url(self, value: UUID | str) -> str:
        return str(value)


register_converter(IdConverter, "id")
