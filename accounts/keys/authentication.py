from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework_simplejwt.exceptions import InvalidToken

from accounts.authentication import BearerAuthentication
from accounts.keys.lookup import START, find_key
from accounts.keys.models import ApiKey
from accounts.models import User
from carprice.http.errors import ServiceError


class ReadOnlyKey(ServiceError):
    code = "permission_denied"
    status = 403


class KeyAuthentication(BearerAuthentication):
    """`Authorization: Bearer cp_…`. What does not begin so is left to the other credentials."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:  # type: ignore[override]
        header = self.get_header(request)
        text = (header and self.get_raw_token(header)) or b""
        if not text.startswith(START.encode()):
            return None
        try:
            key = find_key(text.decode("latin-1"))
        except ApiKey.DoesNotExist:
            raise InvalidToken from None
        return key.user, key


class KeyAllowsMethod(BasePermission):
    """A read-only key is for methods that change nothing. Beside IsAuthenticated, everywhere."""

    def has_permission(self, request: Request, view: Any) -> bool:
        key = request.auth
        if isinstance(key, ApiKey) and not key.may_write and request.method not in SAFE_METHODS:
            raise ReadOnlyKey("This API key is read-only: it is good for GET, HEAD and OPTIONS.")
        return True
