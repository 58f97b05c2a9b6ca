"""The API's pages: what a route answers to a browser, in the look of the site, with a box to call.

A lean form of Django REST framework's: the call is sent by `static/browsable_api.js`.
"""

import json
from typing import Any

from rest_framework.renderers import BrowsableAPIRenderer

SENDING = ("POST", "PUT", "PATCH", "DELETE")


class PageRenderer(BrowsableAPIRenderer):
    """Shows the answer as indented JSON. A view's `example_body` fills in the box, by method."""

    def get_context(
        self, data: Any, accepted_media_type: str | None, renderer_context: Any
    ) -> dict[str, Any]:
        view, response = renderer_context["view"], renderer_context["response"]
        json_renderer: Any = self.get_default_renderer(view)
        content = self.get_content(json_renderer, data, accepted_media_type, renderer_context)
        example = getattr(view, "example_body", None)
        return {
            "content": content,
            "name": self.get_name(view),
            "description": self.get_description(view, response.status_code),
            "response": response,
            "headers": sorted((name, value) for name, value in response.items()),
            "methods": [name for name in view.allowed_methods if name in SENDING],
            "example": json.dumps(example, indent=2, ensure_ascii=False) if example else "",
        }
