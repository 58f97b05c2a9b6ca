from django.apps import AppConfig


class BrowsersConfig(AppConfig):
    name = "accounts.browsers"

    def ready(self) -> None:
        from accounts.browsers import signals  # noqa: F401  # registers its receiver
