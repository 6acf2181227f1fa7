# Build:  docker build -t framewise .      (--build-arg ENGINE=openvino for OpenVINO instead of TensorFlow)
# Run:    docker compose up
# For amd64, on which it is tested, and arm64, for which a test resolves the pins.
FROM python:3.13-slim AS packages
ARG ENGINE=tensorflow
COPY requirements/serve.txt /tmp/tensorflow.txt
COPY requirements/serve-openvino.txt /tmp/openvino.txt
RUN python -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r "/tmp/$ENGINE.txt"

FROM python:3.13-slim
# Decode workers filter their system calls with libseccomp.
RUN apt-get update \
 && apt-get install -y --no-install-recommends libseccomp2 \
 && rm -rf /var/lib/apt/lists/*
# An unprivileged user that does not exist on the host.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin service \
 # A new volume for jobs gets the owner and mode of this directory.
 && install --directory --owner=10001 --group=10001 --mode=0700 /jobs
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
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=180s --start-interval=1s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['SERVICE_PORT']}/health/ready\", timeout=4)"]
CMD ["python", "-m", "service"]
