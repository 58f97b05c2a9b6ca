from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

from carprice.http.docs import ApiDocsView
from carprice.metrics.views import MetricsView
from carprice.pages import preferences

urlpatterns = [
    # Patterns are tried one after the other, so the busiest routes come first.
    path("", include("predictions.urls")),
    path("", include("mlmodels.urls")),
    path("", include("billing.urls")),
    path("", include("billing.payments.urls")),
    path("", include("accounts.urls")),
    path("", include("accounts.keys.urls")),
    path("", include("predictions.personal_data.urls")),
    path("", include("predictions.webhooks.urls")),
    path("api/schema", SpectacularAPIView.as_view(), name="api-schema"),
    path("api/docs", ApiDocsView.as_view(url_name="api-schema"), name="api-docs"),
    path("metrics", MetricsView.as_view(), name="metrics"),
    path("preferences", preferences.prefer, name="preferences"),
    path(f"{settings.ADMIN_PATH}/", admin.site.urls),
]
handler400 = "carprice.pages.errors.bad_request"
handler403 = "carprice.pages.errors.permission_denied"
handler404 = "carprice.pages.errors.not_found"
handler500 = "carprice.pages.errors.server_error"
