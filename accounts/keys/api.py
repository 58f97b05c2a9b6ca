"""`/api/` contract: the routes below /api/keys. They are for users who signed in, not for keys."""

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.response import Response

from accounts.authentication import AuthenticatedRequest, IsSignedIn
from accounts.keys import services
from accounts.keys.models import ApiKey
from accounts.keys.serializers import KEY_EXAMPLE, KeyProfile, KeyRequest, NewKey
from carprice.http.schema import errors
from carprice.http.views import ApiView

ASK_EXAMPLE = {"name": "Nightly batch", "access": "write", "expires_in_days": 90}
MADE_EXAMPLE = {
    **KEY_EXAMPLE,
    "expires_at": "2026-05-01T12:00:00Z",
    "key": f"{KEY_EXAMPLE['prefix']}{'0' * 56}",
}


class KeyListView(ApiView):
    permission_classes = [IsSignedIn]
    example_body: ClassVar = ASK_EXAMPLE

    @extend_schema(
        responses={200: KeyProfile(many=True), **errors(401, 403)},
        examples=[OpenApiExample("keys", [KEY_EXAMPLE], response_only=True, status_codes=["200"])],
    )
    def get(self, request: AuthenticatedRequest) -> Response:
        """Your API keys, newest first, without those you have revoked."""
        keys: Any = ApiKey.objects.shown_to(request.user)
        return Response(KeyProfile(keys, many=True).data)

    @extend_schema(
        request=KeyRequest,
        responses={201: NewKey, **errors(401, 403, 409)},
        examples=[
            OpenApiExample("ask", ASK_EXAMPLE, request_only=True),
            OpenApiExample("made", MADE_EXAMPLE, response_only=True, status_codes=["201"]),
        ],
    )
    def post(self, request: AuthenticatedRequest) -> Response:
        """Make an API key, which stands wherever an access token does. It is shown this once."""
        serializer = KeyRequest(data=request.data)
        serializer.is_valid(raise_exception=True)
        key = services.make_key(user=request.user, **serializer.validated_data)
        return Response(NewKey(key).data, 201)


class KeyView(ApiView):
    permission_classes = [IsSignedIn]

    @extend_schema(request=None, responses={204: None, **errors(401, 403, 404)})
    def delete(self, request: AuthenticatedRequest, key_id: UUID) -> Response:
        """Revoke an API key: it is worthless from now on."""
        services.revoke_key(user=request.user, key_id=key_id)
        return Response(status=204)
