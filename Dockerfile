# One image for every process; compose.yaml says which command each container runs.
ARG PYTHON=3.11

# The full image has the compiler that a dependency without a ready-built wheel needs.
FROM python:${PYTHON} AS build
COPY requirements.lock /
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv install --no-cache-dir --require-hashes -r /requirements.lock

FROM python:${PYTHON}-slim
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    BIND_HOST=0.0.0.0 \
    PORT=8000 \
    VAR_DIR=/var/lib/carprice
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent carprice \
    && install --directory --owner carprice --group carprice --mode 0750 /var/lib/carprice
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY . .
RUN python -m compileall -q .
USER carprice
VOLUME /var/lib/carprice
EXPOSE 8000
CMD ["gunicorn", "-c", "python:carprice.gunicorn", "carprice.wsgi"]
