from django.urls import path

from predictions.personal_data import api, views

urlpatterns = [
    path("api/account", api.AccountView.as_view(), name="api-account"),
    path("api/account/export", api.AccountExportView.as_view(), name="api-account-export"),
    path("account/export", views.export, name="account-export"),
    path("account/delete", views.DeletionPage.as_view(), name="account-delete"),
]
