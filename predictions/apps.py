from django.apps import AppConfig


class PredictionsConfig(AppConfig):
    name = "predictions"

    def ready(self) -> None:
        from carprice.metrics import registry
        from predictions import metrics

        registry.register(metrics.State())
