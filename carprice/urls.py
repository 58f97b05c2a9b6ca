from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, path
from drf_spectacular.views import SpectacularAPIView

from accounts import api as accounts_api
from accounts import views as accounts_views
from billing import api as billing_api
from billing import views as billing_views
from carprice import views
from mlmodels import api as mlmodels_api
from mlmodels import views as mlmodels_views
from predictions import admin as predictions_admin
from predictions import api as predictions_api
from predictions import health, tasks_api
from predictions import views as predictions_views

root_contract = [
    path("sign_up", accounts_api.SignUpView.as_view(), name="root-sign-up"),
    path("sign_in", accounts_api.SignInView.as_view(), name="root-sign-in"),
    path("balance", billing_api.BalanceView.as_view(), name="root-balance"),
    path("predictors", mlmodels_api.PredictorsView.as_view(), name="root-predictors"),
    path("predict", predictions_api.PredictView.as_view(), name="root-predict"),
    path("history", predictions_api.HistoryView.as_view(), name="root-history"),
    path("running", predictions_api.RunningView.as_view(), name="root-running"),
]
api_contract = [
    path("api/tasks", tasks_api.TasksView.as_view(), name="api-tasks"),
    path("api/tasks/predict", tasks_api.PredictTaskView.as_view(), name="api-predict"),
    path("api/tasks/history", tasks_api.TaskHistoryView.as_view(), name="api-history"),
    path("api/tasks/running", tasks_api.RunningTasksView.as_view(), name="api-running"),
    path("api/tasks/<str:task_id>", tasks_api.TaskView.as_view(), name="api-task"),
    path("api/tasks/<str:task_id>/run", tasks_api.RunTaskView.as_view(), name="api-run"),
    path("api/tasks/<str:task_id>/cancel", tasks_api.CancelTaskView.as_view(), name="api-cancel"),
    path("api/tasks/<str:task_id>/what-if", tasks_api.WhatIfView.as_view(), name="api-what-if"),
    path("api/wallet", billing_api.WalletView.as_view(), name="api-wallet"),
    path("api/wallet/topup", billing_api.TopUpView.as_view(), name="api-wallet-topup"),
    path(
        "api/wallet/transactions", billing_api.TransactionsView.as_view(), name="api-transactions"
    ),
    path("api/predictors", mlmodels_api.CatalogueView.as_view(), name="api-predictors"),
    path(
        "api/predictors/<str:model_name>",
        mlmodels_api.PredictorView.as_view(),
        name="api-predictor",
    ),
    path("api/auth/register", accounts_api.RegisterView.as_view(), name="api-register"),
    path("api/auth/login", accounts_api.LoginView.as_view(), name="api-login"),
    path("api/auth/refresh", accounts_api.RefreshView.as_view(), name="api-refresh"),
    path("api/auth/logout", accounts_api.LogoutView.as_view(), name="api-logout"),
    path("api/auth/me", accounts_api.MeView.as_view(), name="api-me"),
]
operations = [
    path("healthz", health.HealthView.as_view(), name="healthz"),
    path("readyz", health.ReadyView.as_view(), name="readyz"),
    path("api/schema", SpectacularAPIView.as_view(), name="api-schema"),
    path("api/docs", views.ApiDocsView.as_view(url_name="api-schema"), name="api-docs"),
]

pages = [
    path("", mlmodels_views.home, name="home"),
    path("catalogue", mlmodels_views.catalogue, name="catalogue"),
    path("catalogue/<slug:model_name>", mlmodels_views.report, name="report"),
    path("account/sign-up", accounts_views.SignUpPage.as_view(), name="sign-up"),
    path("account/sign-in", accounts_views.SignInPage.as_view(), name="sign-in"),
    path("account/sign-out", accounts_views.sign_out, name="sign-out"),
    path("wallet", billing_views.WalletPage.as_view(), name="wallet"),
    path("estimate/<slug:model_name>", predictions_views.EstimatePage.as_view(), name="estimate"),
    path("predictions", predictions_views.history, name="predictions"),
    path(
        "predictions/<str:prediction_id>",
        predictions_views.PredictionPage.as_view(),
        name="prediction",
    ),
    path(
        "predictions/<str:prediction_id>/what-if",
        predictions_views.WhatIfPage.as_view(),
        name="what-if",
    ),
    path(
        "predictions/<str:prediction_id>/status", predictions_views.status, name="prediction-status"
    ),
    path(
        "predictions/<str:prediction_id>/cancel", predictions_views.cancel, name="prediction-cancel"
    ),
    path(
        "predictions/<str:prediction_id>/delete", predictions_views.delete, name="prediction-delete"
    ),
]

urlpatterns: list[URLPattern | URLResolver] = [
    *root_contract,
    *api_contract,
    *operations,
    *pages,
    path(f"{settings.ADMIN_PATH}/login/", accounts_views.admin_sign_in),
    path(f"{settings.ADMIN_PATH}/audit/", predictions_admin.audit, name="admin-audit"),
    path(f"{settings.ADMIN_PATH}/", admin.site.urls),
]
handler400 = views.bad_request
handler403 = views.permission_denied
handler404 = views.not_found
handler500 = views.server_error
