"""The API's interactive pages."""

from csp.decorators import csp_update
from django.utils.decorators import method_decorator
from drf_spectacular.views import SpectacularSwaggerSplitView


@method_decorator(csp_update({"style-src": ["'self'", "'unsafe-inline'"]}), name="get")
class ApiDocsView(SpectacularSwaggerSplitView):
    """Swagger UI from our own files; its style sheet is partly inline."""

    http_method_names = ["get", "head"]  # its template could not render an answer to OPTIONS
    template_name = "api_docs.html"
