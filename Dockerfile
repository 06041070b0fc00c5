# The service, without PyTorch:   docker build -t odeserve .
# Training, with PyTorch:         docker build -t odeserve-train --target train .
# TORCH_INDEX_URL names an index of CPU builds; plain PyTorch brings several GB of CUDA.

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
# Without pip of its own: the service never installs anything.
RUN python -m venv --without-pip /opt/odeserve
# Dependencies in a layer of their own, which stays while only the code changes.
COPY pyproject.toml constraints.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > wanted.txt \
    && python -m pip --python /opt/odeserve install --quiet --constraint constraints.txt --requirement wanted.txt
COPY . .
ARG COMMIT
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip --python /opt/odeserve install --quiet --constraint constraints.txt --no-deps . \
    && python service/build.py "${COMMIT}" > "$(echo /opt/odeserve/lib/python3*/site-packages/service)/commit"


FROM build AS train
ARG TORCH_INDEX_URL
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip --python /opt/odeserve install --quiet ${TORCH_INDEX_URL:+--index-url "${TORCH_INDEX_URL}"} torch==2.13.0 \
    && python -m pip --python /opt/odeserve install --quiet --constraint constraints.txt '.[train]'
RUN useradd --uid 10001 --create-home --home-dir /training odetrain
WORKDIR /training
ENV PATH=/opt/odeserve/bin:$PATH PYTHONUNBUFFERED=1 MPLCONFIGDIR=/tmp ORT_DISABLE_TELEMETRY=1
USER 10001:10001
# Runs, data and artifacts lie here.
VOLUME /training
LABEL org.opencontainers.image.title="odeserve-train" \
      org.opencontainers.image.description="Training of neural ODEs for odeserve" \
      org.opencontainers.image.licenses="Apache-2.0"
ENTRYPOINT ["odetrain"]
CMD ["--help"]


FROM python:3.11-slim-bookworm AS service
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin odeserve
COPY --from=build /opt/odeserve /opt/odeserve
COPY checkpoints /srv/checkpoints
WORKDIR /srv
ENV PATH=/opt/odeserve/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ODESERVE_MODELS_DIR=/srv/checkpoints \
    ODESERVE_LOG_FORMAT=json
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=3s --timeout=3s --start-period=300s --retries=3 \
    CMD ["python", "-I", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/ready', timeout=2)"]
ARG COMMIT
LABEL org.opencontainers.image.title="odeserve" \
      org.opencontainers.image.description="Neural ODEs, with the solver's tolerance as a request parameter" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${COMMIT}"
ENTRYPOINT ["odeserve"]
# Every interface of the container; which of the host's lead there is said when it is run.
CMD ["serve", "--host", "0.0.0.0"]
