# One image for everything of ours: the services of the example and the tracker.
FROM python:3.11-slim AS build
WORKDIR /app
RUN python -m venv /app/.venv
COPY requirements.lock ./
RUN /app/.venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY saga saga
COPY tracker tracker
RUN /app/.venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim
WORKDIR /app
RUN useradd --system --home-dir /app saga && mkdir -p /var/lib/saga && chown saga /var/lib/saga
COPY --from=build /app/.venv .venv
COPY schemas schemas
COPY services services
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1
USER saga
ENTRYPOINT []
