"""How ids are read, from URLs and elsewhere: once, where they come in."""

from uuid import UUID

NIL = UUID(int=0)  # the id of nothing


def parse_id(text: str) -> UUID:
    """A UUID in any of the ways Python reads one; of any other text an id that nothing has.

    So what is no id is found nowhere, and refused in the same order and words as an unknown one.
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
