from django.urls import path

from accounts.totp import views

urlpatterns = [
    path("account/code", views.CodePage.as_view(), name="staff-code"),
    path("account/code/enroll", views.EnrollPage.as_view(), name="staff-enroll"),
]
