from django.urls import path

from accounts.browsers import views

urlpatterns = [
    path("account/browsers/<str:key>/end", views.end_browser, name="account-browser-end"),
    path("account/sessions/end-others", views.end_others, name="account-sessions-end"),
]
