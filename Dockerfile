# Build:  docker build -t framewise .      (--build-arg ENGINE=openvino for OpenVINO instead of TensorFlow)
# Run:    docker compose up
# For amd64, on which it is tested, and arm64, for which a test resolves the pins.
# The only image from elsewhere. `make pin-base` sets or renews its digest in this line; so does Dependabot, monthly.
FROM python:3.13-slim AS base

FROM base AS packages
ARG ENGINE=tensorflow
COPY requirements/serve.txt /tmp/tensorflow.txt
COPY requirements/serve-openvino.txt /tmp/openvino.txt
# The environment gets no pip of its own.
RUN python -m venv --without-pip /opt/venv \
 && pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check --require-hashes \
    -r "/tmp/$ENGINE.txt"

FROM base
# Decode workers filter their system calls with libseccomp.
RUN apt-get update \
 && apt-get install -y --no-install-recommends libseccomp2 \
 && rm -rf /var/lib/apt/lists/*
# No program that installs others: pip, and the copy of it from which Python would restore it.
RUN python -m pip uninstall --quiet --yes --root-user-action=ignore pip \
 && rm -rf "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')/ensurepip"
# An unprivileged user that does not exist on the host.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin service \
 # A new volume for jobs or for keys gets the owner and mode of its directory.
 && install --directory --owner=10001 --group=10001 --mode=0700 /jobs /keys
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY LICENSE NOTICE ./
COPY framewise ./framewise
COPY service ./service
COPY models ./models
# Byte code is compiled now because the file system is read-only later.
RUN /opt/venv/bin/python -m compileall -q framewise service
ARG ENGINE=tensorflow
ENV PATH=/opt/venv/bin:$PATH \
    SERVICE_ENGINE=$ENGINE \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SERVICE_HOST=0.0.0.0 \
    SERVICE_PORT=8000
# The commit: docker build --build-arg REVISION=$(git rev-parse HEAD)
ARG REVISION=""
LABEL org.opencontainers.image.title="Framewise" \
      org.opencontainers.image.description="REST inference service for video classification" \
      org.opencontainers.image.version="1.0.0rc1" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.url="https://github.com/framewise/framewise" \
      org.opencontainers.image.source="https://github.com/framewise/framewise" \
      org.opencontainers.image.documentation="https://github.com/framewise/framewise/blob/main/docs/deployment.md" \
      org.opencontainers.image.vendor="The Framewise authors" \
      # Of Framewise. /app/NOTICE names the GPL and LGPL libraries beside it.
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/python:3.13-slim"
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=180s --start-interval=1s --retries=3 \
    CMD ["python", "-m", "service.healthcheck"]
CMD ["python", "-m", "service"]
