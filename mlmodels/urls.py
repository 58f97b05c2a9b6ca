from django.urls import path

from mlmodels import api, views

urlpatterns = [
    # Root contract
    path("predictors", api.PredictorsView.as_view(), name="root-predictors"),
    # /api/ contract
    path("api/predictors", api.CatalogueView.as_view(), name="api-predictors"),
    path("api/predictors/<str:model_name>", api.PredictorView.as_view(), name="api-predictor"),
    # Pages
    path("catalogue", views.catalogue, name="catalogue"),
    path("catalogue/<slug:model_name>", views.report, name="report"),
]
