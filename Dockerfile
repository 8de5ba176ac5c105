# docs/guides/install.md says how it is built and run. For x86-64 and Arm: the base image is there for both, and all
# packages come as wheels.
#   LOCK     which of requirements/*.txt: run, opencl or cuda
#   DRIVER   packages of Debian that bring a card's OpenCL driver
FROM python:3.12-slim AS build
ARG LOCK=run
WORKDIR /src
RUN python -m venv /opt/smesher
COPY requirements requirements
RUN /opt/smesher/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r "requirements/${LOCK}.txt"
COPY . .
RUN /opt/smesher/bin/pip install --no-cache-dir --no-index --no-deps --no-build-isolation .

FROM python:3.12-slim
ARG DRIVER=
LABEL org.opencontainers.image.title="smesher" \
      org.opencontainers.image.licenses="MIT"
# on Arm RandomX is the system's, since its package has no wheel there
RUN packages="${DRIVER}" \
 && if [ "$(dpkg --print-architecture)" = arm64 ]; then packages="${packages} librandomx0"; fi \
 && if [ -n "${packages}" ]; then \
        apt-get update \
        && apt-get install -y --no-install-recommends ${packages} \
        && rm -rf /var/lib/apt/lists/*; \
    fi \
 && useradd --create-home --uid 1000 smesher \
 && mkdir -p /data /var/cache/smesher \
 && chown smesher:smesher /data /var/cache/smesher
COPY --from=build /opt/smesher /opt/smesher
# Compiled kernels and what was found out about a card are kept in the volume, so that the next run has them.
ENV PATH=/opt/smesher/bin:$PATH \
    NUMBA_CACHE_DIR=/var/cache/smesher \
    XDG_CACHE_HOME=/var/cache/smesher \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONUNBUFFERED=1
USER smesher
WORKDIR /data
VOLUME ["/data", "/var/cache/smesher"]
ENTRYPOINT ["smesher"]
CMD ["--help"]
