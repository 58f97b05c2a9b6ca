"""The least that a Django project does for a submission: `bounds.py` compares the service with it.

One DRF view writes what a submission writes, without accounts, checks, limits or messages.
"""

import functools
import itertools
from collections.abc import Iterator
from typing import Any

from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from mlmodels.catalogue.queries import recall_on_sale
from mlmodels.signature import Inputs
from predictions import queue


class Write(APIView):
    """Writes the ledger's row and the prediction's, and changes the account, in one statement."""

    authentication_classes = ()
    permission_classes = ()

    def post(self, request: Any) -> Response:
        predictor = recall_on_sale(request.data["model_name"])
        user = next(_users())
        row = queue.enqueue(user, predictor, Inputs(request.data["data"], []), explain=False)
        assert row is not None
        return Response({"job_id": str(row.pk)}, 202)


@functools.cache
def _users() -> Iterator[Any]:
    """The accounts that `bounds.py` has made, in turn."""
    return itertools.cycle(User.objects.all())


class Ready(APIView):
    authentication_classes = ()
    permission_classes = ()

    def get(self, _: Any) -> Response:
        return Response()


urlpatterns = [path("predict", Write.as_view()), path("", Ready.as_view())]
