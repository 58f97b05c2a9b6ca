"""`/api/account`: everything of one's own, and the end of it."""

from django.contrib.auth import logout
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from accounts.authentication import AuthenticatedRequest, IsSignedIn
from accounts.normalization import validate_password_length
from accounts.tokens import SessionAccessToken
from carprice.http import throttling
from carprice.http.schema import errors
from carprice.http.serializers import StrictSerializer
from carprice.http.views import ApiView
from predictions.personal_data.deletion import delete_account
from predictions.personal_data.export import export_response


class DeletionRequest(StrictSerializer):
    password = serializers.CharField(
        trim_whitespace=False, validators=[validate_password_length], help_text="Your own."
    )


@extend_schema(tags=["account"])
class AccountView(ApiView):
    permission_classes = [IsSignedIn]
    throttle_scopes = {"DELETE": "sign_in"}

    @extend_schema(request=DeletionRequest, responses={204: None, **errors(400, 401, 403, 409)})
    def delete(self, request: AuthenticatedRequest) -> Response:
        """Delete your account for good; credits that remain are forfeited.

        Inputs, results, drafts, links, tokens, name and e-mail address are erased. Movements of
        credits are kept without a name.
        """
        serializer = DeletionRequest(data=request.data)
        serializer.is_valid(raise_exception=True)
        delete_account(
            user=request.user,
            **serializer.validated_data,
            address=throttling.address(request),
        )
        if not isinstance(request.auth, SessionAccessToken):  # a browser that has signed in
            logout(request)
        return Response(status=204)


@extend_schema(tags=["account"])
class AccountExportView(ApiView):
    permission_classes = [IsSignedIn]
    throttle_scopes = {"GET": "export"}

    @extend_schema(
        responses={(200, "application/zip"): OpenApiTypes.BINARY, **errors(401, 403, 429)},
    )
    def get(self, request: AuthenticatedRequest) -> StreamingHttpResponse:
        """Everything of yours as a ZIP: account, predictions, drafts, movements, sessions."""
        return export_response(request.user)
