from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, path
from drf_spectacular.views import SpectacularAPIView

from accounts import api as accounts_api
from accounts import views as accounts_views
from billing import api as billing_api
from billing import views as billing_views
from carprice.http import docs
from carprice.pages import errors
from mlmodels import api as mlmodels_api
from mlmodels import views as mlmodels_views
from predictions import admin as predictions_admin
from predictions.api.root_contract import root_contract as predictions_api
from predictions.api.root_contract import health, tasks
from predictions.pages import estimate, history, prediction, what_if

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
    path("api/tasks", tasks.TasksView.as_view(), name="api-tasks"),
    path("api/tasks/predict", tasks.PredictTaskView.as_view(), name="api-predict"),
    path("api/tasks/history", tasks.TaskHistoryView.as_view(), name="api-history"),
    path("api/tasks/running", tasks.RunningTasksView.as_view(), name="api-running"),
    path("api/tasks/<str:task_id>", tasks.TaskView.as_view(), name="api-task"),
    path("api/tasks/<str:task_id>/run", tasks.RunTaskView.as_view(), name="api-run"),
    path("api/tasks/<str:task_id>/cancel", tasks.CancelTaskView.as_view(), name="api-cancel"),
    path("api/tasks/<str:task_id>/what-if", tasks.WhatIfView.as_view(), name="api-what-if"),
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
    path("api/docs", docs.ApiDocsView.as_view(url_name="api-schema"), name="api-docs"),
]

pages = [
    path("", mlmodels_views.home, name="home"),
    path("catalogue", mlmodels_views.catalogue, name="catalogue"),
    path("catalogue/<slug:model_name>", mlmodels_views.report, name="report"),
    path("account/sign-up", accounts_views.SignUpPage.as_view(), name="sign-up"),
    path("account/sign-in", accounts_views.SignInPage.as_view(), name="sign-in"),
    path("account/sign-out", accounts_views.sign_out, name="sign-out"),
    path("wallet", billing_views.WalletPage.as_view(), name="wallet"),
    path("estimate/<slug:model_name>", estimate.EstimatePage.as_view(), name="estimate"),
    path("predictions", history.history, name="predictions"),
    path(
        "predictions/<str:prediction_id>",
        prediction.PredictionPage.as_view(),
        name="prediction",
    ),
    path(
        "predictions/<str:prediction_id>/what-if",
        what_if.WhatIfPage.as_view(),
        name="what-if",
    ),
    path(
        "predictions/<str:prediction_id>/status", prediction.status, name="prediction-status"
    ),
    path(
        "predictions/<str:prediction_id>/cancel", prediction.cancel, name="prediction-cancel"
    ),
    path(
        "predictions/<str:prediction_id>/delete", prediction.delete, name="prediction-delete"
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
handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.not_found
handler500 = errors.server_error
