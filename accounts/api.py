"""Root contract: POST /sign_up, POST /sign_in."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services
from accounts.tokens import SessionAccessToken, open_session
from carprice import throttling
from carprice.api import PublicApiView
from carprice.schema import errors
from carprice.serializers import EmailAddressField, NameField, StrictSerializer, StringField


class SignUpRequest(StrictSerializer):
    name = NameField()
    email = EmailAddressField()
    password = StringField(min_length=8, max_length=128)


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
    throttle_scope = "sign_up"

    @extend_schema(request=SignUpRequest, responses={201: Profile, **errors(400, 409, 429)})
    def post(self, request: Request) -> Response:
        """Create an account with no credits."""
        serializer = SignUpRequest(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = services.sign_up(**serializer.validated_data)
        return Response({"name": user.name, "email": user.email}, 201)


class SignInView(PublicApiView):
    throttle_scope = "sign_in"

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
