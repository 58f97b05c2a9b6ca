from django.urls import path

from carprice.http import converters  # noqa: F401  # registers <id:...>
from predictions.webhooks import api, views

urlpatterns = [
    # /api/
    path("api/webhooks", api.WebhooksView.as_view(), name="api-webhooks"),
    path("api/webhooks/<id:webhook_id>", api.WebhookView.as_view(), name="api-webhook"),
    path(
        "api/webhooks/<id:webhook_id>/secret",
        api.WebhookSecretView.as_view(),
        name="api-webhook-secret",
    ),
    path(
        "api/webhooks/<id:webhook_id>/deliveries",
        api.DeliveriesView.as_view(),
        name="api-webhook-deliveries",
    ),
    path(
        "api/webhooks/<id:webhook_id>/deliveries/<id:delivery_id>/resend",
        api.ResendView.as_view(),
        name="api-webhook-resend",
    ),
    # Pages
    path("account/webhooks", views.WebhooksPage.as_view(), name="webhooks"),
    path("account/webhooks/<id:webhook_id>", views.webhook, name="webhook"),
]
