from django.conf import settings
from django.urls import include, path

from accounts import api, views
from carprice.http import converters  # noqa: F401  # registers <id:...>

urlpatterns = [
    # Root contract
    path("sign_up", api.SignUpView.as_view(), name="root-sign-up"),
    path("sign_in", api.SignInView.as_view(), name="root-sign-in"),
    # /api/ contract
    path("api/auth/register", api.RegisterView.as_view(), name="api-register"),
    path("api/auth/login", api.LoginView.as_view(), name="api-login"),
    path("api/auth/refresh", api.RefreshView.as_view(), name="api-refresh"),
    path("api/auth/logout", api.LogoutView.as_view(), name="api-logout"),
    path("api/auth/me", api.MeView.as_view(), name="api-me"),
    # Pages
    path("account/sign-up", views.SignUpPage.as_view(), name="sign-up"),
    path("account/sign-in", views.SignInPage.as_view(), name="sign-in"),
    path("account/sign-out", views.sign_out, name="sign-out"),
    path("account", views.account, name="account"),
    path("account/name", views.NamePage.as_view(), name="account-name"),
    path("account/password", views.PasswordPage.as_view(), name="account-password"),
    path("account/sessions/<id:session_id>/end", views.end_session, name="account-session-end"),
    path("", include("accounts.browsers.urls")),
    path("", include("accounts.mail.urls")),
    path("", include("accounts.totp.urls")),
    # Instead of the admin's own sign-in page, which does not count wrong attempts
    path(f"{settings.ADMIN_PATH}/login/", views.admin_sign_in),
]
