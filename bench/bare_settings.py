"""Settings of the bare stand-in: this project's database, and nothing else of it in a request."""

from carprice.settings import *  # noqa: F403  # all but what follows

MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]  # tells the length of answers
ROOT_URLCONF = "bare_urls"
REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "UNAUTHENTICATED_USER": None,
}
