from django.contrib import admin

from carprice.admin import ReadOnlyAdmin
from predictions.models import Heartbeat, Prediction


@admin.register(Prediction)
class PredictionAdmin(ReadOnlyAdmin):
    list_display = ["id", "user", "predictor", "status", "price", "value", "queued_at", "failure"]
    list_filter = ["status", "predictor", "failure", "queued_at"]
    list_select_related = ["user", "predictor"]
    search_fields = ["id", "user__email"]
    ordering = ["-created_at"]


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    list_display = ["worker", "beat_at"]
