FROM python:3.12-slim AS build
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --wheel-dir /wheels .

FROM python:3.12-slim
LABEL org.opencontainers.image.title="smesher" \
      org.opencontainers.image.licenses="MIT"
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels smesher \
 && useradd --create-home --uid 1000 smesher \
 && mkdir -p /data /var/cache/smesher \
 && chown smesher:smesher /data /var/cache/smesher
# Compiled kernels are kept here; site-packages is not writable for the user below.
ENV NUMBA_CACHE_DIR=/var/cache/smesher \
    PYTHONUNBUFFERED=1
USER smesher
WORKDIR /data
VOLUME ["/data"]
ENTRYPOINT ["smesher"]
CMD ["--help"]
