from django.conf import settings
from django.urls import path

from carprice.http import converters  # noqa: F401  # registers <id:...>
from predictions import admin
from predictions.api import health, root_contract, tasks
from predictions.pages import estimate, history, home, prediction, what_if

urlpatterns = [
    # Root contract
    path("predict", root_contract.PredictView.as_view(), name="root-predict"),
    path("history", root_contract.HistoryView.as_view(), name="root-history"),
    path("running", root_contract.RunningView.as_view(), name="root-running"),
    # /api/ contract
    path("api/tasks", tasks.TasksView.as_view(), name="api-tasks"),
    path("api/tasks/predict", tasks.PredictTaskView.as_view(), name="api-predict"),
    path("api/tasks/history", tasks.TaskHistoryView.as_view(), name="api-history"),
    path("api/tasks/running", tasks.RunningTasksView.as_view(), name="api-running"),
    path("api/tasks/<id:task_id>", tasks.TaskView.as_view(), name="api-task"),
    path("api/tasks/<id:task_id>/run", tasks.RunTaskView.as_view(), name="api-run"),
    path("api/tasks/<id:task_id>/cancel", tasks.CancelTaskView.as_view(), name="api-cancel"),
    path("api/tasks/<id:task_id>/what-if", tasks.WhatIfView.as_view(), name="api-what-if"),
    # For operation
    path("healthz", health.HealthView.as_view(), name="healthz"),
    path("readyz", health.ReadyView.as_view(), name="readyz"),
    path(f"{settings.ADMIN_PATH}/", admin.index, name="admin-index"),
    path(f"{settings.ADMIN_PATH}/audit/", admin.audit, name="admin-audit"),
    # Pages
    path("", home.home, name="home"),
    path("estimate/<slug:model_name>", estimate.EstimatePage.as_view(), name="estimate"),
    path("predictions", history.history, name="predictions"),
    path("predictions.csv", history.export, name="predictions-csv"),
    path("predictions/chosen", history.chosen, name="predictions-chosen"),
    path(
        "predictions/<id:prediction_id>",
        prediction.PredictionPage.as_view(),
        name="prediction",
    ),
    path(
        "predictions/<id:prediction_id>/what-if",
        what_if.WhatIfPage.as_view(),
        name="what-if",
    ),
    path("predictions/<id:prediction_id>/status", prediction.status, name="prediction-status"),
    path("predictions/<id:prediction_id>/cancel", prediction.cancel, name="prediction-cancel"),
    path("predictions/<id:prediction_id>/delete", prediction.delete, name="prediction-delete"),
    path("predictions/<id:prediction_id>/name", prediction.name, name="prediction-name"),
    path("predictions/<id:prediction_id>/share", prediction.share, name="prediction-share"),
    path("predictions/<id:prediction_id>/revoke", prediction.revoke, name="prediction-revoke"),
    path("shared/<str:token>", prediction.shared, name="shared"),
]
