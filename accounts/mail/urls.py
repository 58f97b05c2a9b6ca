from django.urls import path

from accounts.mail import views
from accounts.mail.links import Purpose

urlpatterns = [
    path("account/forgot", views.ForgotPage.as_view(), name="password-forgot"),
    path("account/reset/<str:token>", views.ResetPage.as_view(), name=Purpose.RESET.value),
    path("account/verify", views.resend_verification, name="verification-resend"),
    path("account/verify/<str:token>", views.verify_address, name=Purpose.VERIFY.value),
    path("account/address", views.AddressPage.as_view(), name="account-address"),
    path("account/address/<str:token>", views.confirm_address, name=Purpose.CHANGE.value),
]
