"""`make messages`: brings the translations up to date with the code; needs GNU gettext.

What is new has to be translated in `locale/*/LC_MESSAGES/django.po`; then run it once more.
"""

import os
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command

HEADER = "from django.utils.translation import gettext_noop\n"
NO_FORMAT = "# xgettext:no-python-format"  # their percent signs are just that
LEFT_OUT = [".venv/*", "var/*", "testing/*", "bench/*", "*/tests/*", "templates/admin/*"]


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "carprice.settings")
    django.setup()
    from mlmodels.domains.texts import texts

    root = Path(settings.BASE_DIR)
    extra = root / "mlmodels" / "domains" / "texts_to_translate.py"  # the data have some of them
    lines = (f"{NO_FORMAT}\ngettext_noop({text!r})\n" for text in texts())
    extra.write_text(HEADER + "".join(lines), "utf-8")
    try:
        call_command(
            "makemessages",
            locale=[code for code, _ in settings.LANGUAGES if code != settings.LANGUAGE_CODE],
            ignore_patterns=LEFT_OUT,
            no_location=True,
            no_obsolete=True,
        )
    finally:
        extra.unlink()
    call_command("compilemessages", ignore_patterns=LEFT_OUT)


if __name__ == "__main__":
    main()
