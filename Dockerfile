# Another base, if given, must have python3 >= 3.11 with venv, and the certificates of public CAs. The default stands in a
# FROM of its own, since Dependabot reads no ARG.
ARG BASE_IMAGE=base

FROM python:3.13-slim-trixie AS base

FROM ${BASE_IMAGE} AS build
# pip reads these from the environment. For an index behind a password, give a whole pip.conf as the secret `pip.conf`;
# for one behind a private CA, its PEM file as the secret `ca`. A secret is in no layer and in no history.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG PIP_NO_CACHE_DIR=1
ARG PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements/build.txt requirements/runtime.txt requirements/
# /app never has a pip: that of /tools installs into it. A wheel or nothing, since there is no compiler; and nothing is
# resolved, since the lock is complete: `pip check` says so.
RUN --mount=type=secret,id=ca --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi \
 && python3 -m venv /tools \
 && python3 -m venv --without-pip /app \
 && /tools/bin/pip install --no-deps --require-hashes --only-binary :all: -r requirements/build.txt \
 && /tools/bin/pip check \
 && /tools/bin/pip --python /app/bin/python install --no-deps --require-hashes --only-binary :all: --no-compile \
        -r requirements/runtime.txt \
 && /tools/bin/pip --python /app/bin/python check \
 # What nothing here imports: the client's asynchronous twin with its HTTP library, and what is generated for each API.
 && rm -r /app/lib/python3.*/site-packages/kubernetes/aio \
 && find /app/lib/python3.*/site-packages -maxdepth 1 -regextype posix-extended \
        -regex '.*/(aiohappyeyeballs|aiohttp|aiohttp_retry|aiosignal|frozenlist|multidict|propcache|yarl)(-[^/]*)?' \
        -exec rm -r {} + \
 && find /app/lib/python3.*/site-packages/kubernetes/client -regextype posix-extended \
        -regex '.*/(api|models)/[a-z][^/]*[.]py' -delete
COPY pyproject.toml README.md LICENSE ./
COPY webhook webhook
COPY certs certs
# Bytecode is made now, as the root filesystem is read-only later. It is not checked against the source's time, which
# a copy or a rebuild may change.
RUN /tools/bin/pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /tools/bin/pip --python /app/bin/python install --no-index --no-deps --no-compile /wheels/*.whl \
 && /app/bin/python -m compileall -q --invalidation-mode unchecked-hash /app/lib

FROM ${BASE_IMAGE}
# The base's own pip and what else lies beside it go; the official images come without the standard library's bytecode.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3.*/site-packages/* /usr/share/python-wheels \
        /usr/local/lib/python3.*/ensurepip /usr/lib/python3.*/ensurepip \
 && python3 -m compileall -q --invalidation-mode unchecked-hash \
        -x '/(dist-packages|idlelib|lib2to3|pydoc_data|test|tkinter|turtledemo)/' \
        "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=build /app /app
# Temporary files, such as the key in a kubeconfig, are kept in memory: all that can be written is /dev/shm.
ENV PATH=/app/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TMPDIR=/dev/shm
# Numeric, so that a kubelet can tell from the image alone that it is not root.
USER 65532:65532
WORKDIR /
EXPOSE 10250 8080
# Both commands handle SIGTERM as process 1 and reap what they start: no init in front of them.
ENTRYPOINT ["ghcr-pull-secrets"]
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="ghcr-pull-secrets" \
      org.opencontainers.image.description="Kubernetes admission webhook and controller that gives every workload pulling from ghcr.io its pull secret" \
      org.opencontainers.image.source="https://github.com/sesacthon/ghcr-pull-secrets" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
