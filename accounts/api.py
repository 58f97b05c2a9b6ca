"""Root contract: POST /sign_up, POST /sign_in. `/api/` contract: the routes below /api/auth/."""

from django.contrib.auth import logout
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request, is_form_media_type
from rest_framework.response import Response

from accounts import services
from accounts.authentication import AuthenticatedRequest, IsSignedIn
from accounts.mail.queue import site_of
from accounts.models import TokenSession
from accounts.serializers import (
    AccessGrant,
    PasswordForm,
    Profile,
    RefreshRequest,
    RegisterRequest,
    SignInRequest,
    SignUpRequest,
    TokenPair,
    UserProfile,
)
from accounts.tokens import Grant, SessionAccessToken, open_session
from carprice.http import throttling
from carprice.http.parsers import StrictFormParser, StrictJSONParser
from carprice.http.schema import errors
from carprice.http.serializers import StrictSerializer
from carprice.http.views import ApiView, PublicApiView

# --- Root contract -------------------------------------------------------------------------------


class SignUpView(PublicApiView):
    throttle_scopes = {"POST": "sign_up"}

    @extend_schema(request=SignUpRequest, responses={201: Profile, **errors(400, 409, 429)})
    def post(self, request: Request) -> Response:
        """Create an account with no credits."""
        serializer = SignUpRequest(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = services.sign_up(**serializer.validated_data, site=site_of(request))
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
        return Response(AccessGrant(Grant(open_session(user))).data)


# --- /api/auth/ ----------------------------------------------------------------------------------


@extend_schema(tags=["auth"])
class RegisterView(PublicApiView):
    throttle_scopes = {"POST": "sign_up"}

    @extend_schema(request=RegisterRequest, responses={201: UserProfile, **errors(409)})
    def post(self, request: Request) -> Response:
        """Create an account with no credits."""
        serializer = RegisterRequest(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = services.sign_up(**serializer.validated_data, site=site_of(request))
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
        email, password = _read_credentials(request)
        user = services.check_credentials(
            email=email, password=password, address=throttling.address(request)
        )
        return _token_pair_response(open_session(user, refreshable=True))


@extend_schema(tags=["auth"])
class RefreshView(PublicApiView):
    @extend_schema(request=RefreshRequest, responses={200: TokenPair, **errors(401)})
    def post(self, request: Request) -> Response:
        """Exchange a refresh token for a new pair; using one twice ends its session."""
        serializer = RefreshRequest(data=request.data)
        serializer.is_valid(raise_exception=True)
        return _token_pair_response(services.refresh_session(**serializer.validated_data))


@extend_schema(tags=["auth"])
class LogoutView(ApiView):
    permission_classes = [IsSignedIn]

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


def _read_credentials(request: Request) -> tuple[str, str]:
    """E-mail and password, from JSON or from an OAuth2 form."""
    is_form = is_form_media_type(request.content_type)
    serializer = (PasswordForm if is_form else SignInRequest)(data=request.data)
    serializer.is_valid(raise_exception=True)
    data = serializer.validated_data
    return data["username" if is_form else "email"], data["password"]


def _token_pair_response(session: TokenSession) -> Response:
    return Response(TokenPair(Grant(session)).data)
