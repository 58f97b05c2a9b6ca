"""Root contract: POST /sign_up, POST /sign_in. `/api/` contract: the routes below /api/auth/."""

from typing import Any

from django.contrib.auth import logout
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request, is_form_media_type
from rest_framework.response import Response

from accounts import services
from accounts.authentication import AuthenticatedRequest
from accounts.fields import EmailAddressField, NameField
from accounts.models import TokenSession
from accounts.tokens import SessionAccessToken, SessionRefreshToken, open_session
from carprice.http import throttling
from carprice.http.parsers import StrictFormParser, StrictJSONParser
from carprice.http.schema import errors
from carprice.http.serializers import StrictSerializer, StringField
from carprice.http.views import ApiView, PublicApiView


@extend_schema_field(
    {
        "type": "string",
        "minLength": 8,
        "maxLength": 128,
        "pattern": "[^0-9]",
        "description": "Neither common nor like the name or the address.",
    }
)
class NewPasswordField(StringField):
    """A password that Django's validators have yet to accept."""


class SignUpRequest(StrictSerializer):
    name = NameField()
    email = EmailAddressField()
    password = NewPasswordField(min_length=8, max_length=128)


class Profile(serializers.Serializer[object]):
    name = serializers.CharField()
    email = serializers.EmailField()


class SignInRequest(StrictSerializer):
    email = StringField(max_length=254)
    password = StringField(max_length=128)


class AccessGrant(Profile):
    access_token = serializers.CharField()
    token_type = serializers.CharField()


class SignUpView(PublicApiView):
    throttle_scopes = {"POST": "sign_up"}

    @extend_schema(request=SignUpRequest, responses={201: Profile, **errors(400, 409, 429)})
    def post(self, request: Request) -> Response:
        """Create an account with no credits."""
        serializer = SignUpRequest(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = services.sign_up(**serializer.validated_data)
        return Response(Profile(user).data, 201)


class SignInView(PublicApiView):
    throttle_scopes = {"POST": "sign_in"}

    @extend_schema(request=SignInRequest, responses={200: AccessGrant, **errors(400, 401, 429)})
    def post(self, request: Request) -> Response:
        """Exchange e-mail and password for an access token, good for 30 minutes."""
        serializer = SignInRequest(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = services.check_credentials(
            **serializer.validated_data, address=throttling.address(request)
        )
        token = SessionAccessToken.for_session(open_session(user))
        body = {"access_token": str(token), "token_type": "bearer"}
        return Response({**body, "name": user.name, "email": user.email})


# --- /api/auth/ ----------------------------------------------------------------------------------


class RegisterRequest(SignUpRequest):
    name = NameField(required=False)


class UserProfile(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    email = serializers.EmailField()


class PasswordForm(StrictSerializer):
    """The token request of OAuth2's password flow (RFC 6749, 4.3.2). There are no clients to tell
    apart and no scopes to grant, so those fields are taken and not looked at.
    """

    grant_type = serializers.ChoiceField(["password"], required=False)
    username = StringField(max_length=254, help_text="The e-mail address.")
    password = StringField(max_length=128)
    scope = StringField(max_length=1000, required=False, allow_blank=True)
    client_id = StringField(max_length=1000, required=False, allow_blank=True)
    client_secret = StringField(max_length=1000, required=False, allow_blank=True)


class TokenPair(serializers.Serializer[Any]):
    access_token = serializers.CharField()
    refresh_token = serializers.CharField(help_text="Good once, for 14 days.")
    token_type = serializers.ChoiceField(["bearer"])
    expires_in = serializers.IntegerField(help_text="Seconds that the access token is good for.")


class RefreshRequest(StrictSerializer):
    refresh_token = StringField(max_length=2000)


@extend_schema(tags=["auth"])
class RegisterView(PublicApiView):
    throttle_scopes = {"POST": "sign_up"}

    @extend_schema(request=RegisterRequest, responses={201: UserProfile, **errors(409)})
    def post(self, request: Request) -> Response:
        """Create an account with no credits."""
        serializer = RegisterRequest(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = services.sign_up(**serializer.validated_data)
        return Response(UserProfile(user).data, 201)


@extend_schema(tags=["auth"])
class LoginView(PublicApiView):
    throttle_scopes = {"POST": "sign_in"}
    parser_classes = [StrictJSONParser, StrictFormParser]

    @extend_schema(
        request={
            StrictJSONParser.media_type: SignInRequest,
            StrictFormParser.media_type: PasswordForm,
        },
        responses={200: TokenPair, **errors(401)},
    )
    def post(self, request: Request) -> Response:
        """Exchange e-mail and password for an access token and a refresh token."""
        email, password = _credentials(request)
        user = services.check_credentials(
            email=email, password=password, address=throttling.address(request)
        )
        return _grant(open_session(user, refreshable=True))


@extend_schema(tags=["auth"])
class RefreshView(PublicApiView):
    @extend_schema(request=RefreshRequest, responses={200: TokenPair, **errors(401)})
    def post(self, request: Request) -> Response:
        """Exchange a refresh token for a new pair; using one twice ends its session."""
        serializer = RefreshRequest(data=request.data)
        serializer.is_valid(raise_exception=True)
        return _grant(services.refresh_session(**serializer.validated_data))


@extend_schema(tags=["auth"])
class LogoutView(ApiView):
    @extend_schema(request=None, responses={204: None, **errors(401, 403)})
    def post(self, request: AuthenticatedRequest) -> Response:
        """End this session: its access and refresh tokens are worthless from now on."""
        StrictSerializer(data=request.data).is_valid(raise_exception=True)  # it has no fields
        if isinstance(request.auth, SessionAccessToken):
            services.end_session(request.auth.session_id)
        else:  # a browser that has signed in
            logout(request)
        return Response(status=204)


@extend_schema(tags=["auth"])
class MeView(ApiView):
    @extend_schema(responses={200: UserProfile, **errors(401)})
    def get(self, request: AuthenticatedRequest) -> Response:
        """Whose access token this is."""
        return Response(UserProfile(request.user).data)


def _credentials(request: Request) -> tuple[str, str]:
    """E-mail and password, from JSON or from an OAuth2 form."""
    is_form = is_form_media_type(request.content_type)
    serializer = (PasswordForm if is_form else SignInRequest)(data=request.data)
    serializer.is_valid(raise_exception=True)
    data = serializer.validated_data
    return data["username" if is_form else "email"], data["password"]


def _grant(session: TokenSession) -> Response:
    access = SessionAccessToken.for_session(session)
    body = {
        "access_token": str(access),
        "refresh_token": str(SessionRefreshToken.for_session(session)),
        "token_type": "bearer",
        "expires_in": int(access.lifetime.total_seconds()),
    }
    return Response(body, headers={"Cache-Control": "no-store"})
