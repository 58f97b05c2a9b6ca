"""The one path by which the API's submissions come, with one order of refusals."""

from collections.abc import Callable

from rest_framework.response import Response

from accounts.authentication import AuthenticatedRequest
from accounts.mail.services import require_verified
from carprice.http.views import ApiView
from carprice.idempotency.headers import respond_once
from predictions import queue


class SubmissionView(ApiView):
    """A view whose POST queues a prediction.

    After what every route refuses: a key that was used gets its stored answer, a full queue is
    429, then one's address may have to be verified, then comes whatever `respond` refuses.
    """

    throttle_scopes = {"POST": "submit"}

    def submit(
        self,
        request: AuthenticatedRequest,
        respond: Callable[[], Response],
        *,
        subject: str | None = None,
    ) -> Response:
        def admit() -> None:
            queue.check_capacity(request.user)
            require_verified(request.user)

        return respond_once(request, respond, admit=admit, subject=subject)
