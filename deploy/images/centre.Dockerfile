# The central service and the `muster` command. From the top of the repository:
#   docker build -f deploy/images/centre.Dockerfile -t muster .
# Give --build-arg BASE=...@sha256:... to pin what it stands on.
#
# Writable at run time: /var/lib/muster (nothing is kept there with your own NATS and Postgres) and /tmp.
# Everything else may be read-only.
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
WORKDIR /src
COPY deploy/images/build.lock deploy/images/centre.lock ./
# What has to be built is built with the tools of build.lock, and with nothing that pip fetches by itself.
RUN python -m venv /opt/build \
 && /opt/build/bin/python -m pip install --no-cache-dir --require-hashes -r build.lock \
 && /opt/build/bin/python -m pip wheel --no-cache-dir --no-build-isolation --require-hashes \
        -w wheels -r centre.lock
COPY pyproject.toml README.md ./
COPY schemas schemas
COPY agents agents
COPY controlplane controlplane
RUN /opt/build/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation -w wheels . \
 && python -m venv --without-pip /opt/muster \
 && python -m pip --python /opt/muster/bin/python install --no-cache-dir --no-index --no-deps wheels/*.whl
COPY deploy/images/healthy.py /opt/muster/healthy.py

FROM ${BASE}
RUN groupadd --gid 65532 muster \
 && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /var/lib/muster --shell /usr/sbin/nologin muster \
 && install -d -o 65532 -g 65532 -m 0700 /var/lib/muster
COPY --from=build /opt/muster /opt/muster
ENV PATH=/opt/muster/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/var/lib/muster \
    MUSTER_DATA_DIR=/var/lib/muster \
    MUSTER_LISTEN_HOST=0.0.0.0 \
    MUSTER_LOG_FORMAT=json
USER 65532:65532
WORKDIR /var/lib/muster
VOLUME /var/lib/muster
EXPOSE 8420
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "/opt/muster/healthy.py", "http://127.0.0.1:8420/healthz"]
ENTRYPOINT ["muster"]
CMD ["serve"]
