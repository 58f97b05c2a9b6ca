"""The API's interactive pages."""

import sys

from csp.decorators import csp_update
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.decorators import method_decorator
from drf_spectacular.views import SpectacularSwaggerSplitView

from carprice.http.exceptions import RETRY_AFTER_OUTAGE_SECONDS, SENTENCES, error_body


@method_decorator(csp_update({"style-src": ["'self'", "'unsafe-inline'"]}), name="get")
class ApiDocsView(SpectacularSwaggerSplitView):
    """Swagger UI from our own files; its style sheet is partly inline."""
