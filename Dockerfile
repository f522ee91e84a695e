# API and worker in one image; the command decides. Without the embedded stack: Postgres and Temporal run elsewhere.

FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/perdure
COPY requirements/runtime.txt /build/requirements/runtime.txt
RUN /opt/perdure/bin/pip install --require-hashes -r /build/requirements/runtime.txt

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin perdure \
    && install -d -o perdure -g perdure -m 0700 /var/lib/perdure
COPY --from=build /opt/perdure /opt/perdure
WORKDIR /srv/perdure
COPY LICENSE server.py worker.py ./
COPY app app
COPY perdure perdure
# Read-only for the user that runs it; compiled here because it cannot be compiled there.
RUN /opt/perdure/bin/python -m compileall -q app perdure server.py worker.py \
    && printf '#!/bin/sh\nexec /opt/perdure/bin/python -c "from app.cli.main import main; main()" "$@"\n' > /usr/local/bin/perdure \
    && chmod 0755 /usr/local/bin/perdure
ENV PATH=/opt/perdure/bin:$PATH \
    PYTHONPATH=/srv/perdure \
    PYTHONUNBUFFERED=1 \
    PERDURE_HOME=/var/lib/perdure \
    PERDURE_HOST=0.0.0.0 \
    PERDURE_LOG_FORMAT=json
USER perdure
EXPOSE 8000
# The programs stop cleanly on SIGTERM; a worker gives its running blocks ten seconds.
STOPSIGNAL SIGTERM
CMD ["python", "server.py"]
