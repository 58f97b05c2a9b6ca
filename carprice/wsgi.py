import os

from django.core.wsgi import get_wsgi_application

from carprice import telemetry

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "carprice.settings")

telemetry.start("web")  # before the middleware is loaded
django_application = get_wsgi_application()

from django.conf import settings  # noqa: E402  # readable only now

from carprice.server.chunked_bodies import ChunkedBodyBuffer  # noqa: E402
from carprice.server.work_slots import WorkSlots  # noqa: E402

application = ChunkedBodyBuffer(WorkSlots(django_application, settings.WEB_THREADS))
