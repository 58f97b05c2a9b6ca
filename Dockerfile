# One image for every process; compose.yaml and deploy/kubernetes say which command each container
# runs. Pin the digests of the base images where releases are built; none can be told from here.
ARG PYTHON=3.11.13

# The full image has the compiler that a dependency without a ready-built wheel needs.
FROM python:${PYTHON}-bookworm AS packages
COPY requirements.lock deploy/strip-packages /
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv install --no-cache-dir --no-compile --require-hashes -r /requirements.lock \
    && /strip-packages /opt/venv \
    && (/opt/venv/bin/python -m compileall -q /opt/venv/lib || true) # some packages ship templates

# What the checkout has, readable by every user whatever its umask was, and by nobody writable.
FROM python:${PYTHON}-slim-bookworm AS source
WORKDIR /app
COPY . .
RUN python -m compileall -q . && chmod -R a+rX,a-w .

FROM python:${PYTHON}-slim-bookworm
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    BIND_HOST=0.0.0.0 \
    PORT=8000 \
    VAR_DIR=/var/lib/carprice
# Any user may run it who is in group 0, as on OpenShift: the group may do what the owner may.
RUN install --directory --owner 10001 --group 0 --mode 2770 /var/lib/carprice /var/lib/carprice/static
WORKDIR /app
COPY --from=packages /opt/venv /opt/venv
COPY --from=source /app /app
USER 10001:0
VOLUME /var/lib/carprice
EXPOSE 8000
CMD ["gunicorn", "-c", "python:carprice.gunicorn", "carprice.wsgi"]
