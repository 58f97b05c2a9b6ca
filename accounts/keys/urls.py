from django.urls import path

from accounts.keys import api, views
from carprice.http import converters  # noqa: F401  # registers <id:...>

urlpatterns = [
    path("api/keys", api.KeyListView.as_view(), name="api-keys"),
    path("api/keys/<id:key_id>", api.KeyView.as_view(), name="api-key"),
    path("account/keys", views.KeysPage.as_view(), name="keys"),
    path("account/keys/<id:key_id>/revoke", views.revoke, name="key-revoke"),
]
