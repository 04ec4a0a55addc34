# One recipe for every process of the shop; docker-compose.yml says which one a container runs.
ARG PYTHON_IMAGE=python:3.14-slim
FROM ${PYTHON_IMAGE}

# For a build behind a mirror or a proxy, each of them a --build-arg, none of them kept in the image's environment.
# EXTRA_CA_PEM is the text of a certificate to trust; HTTP_PROXY, HTTPS_PROXY and NO_PROXY work without being named here.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG EXTRA_CA_PEM

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONWARNINGS=ignore \
    EVENTLET_NO_GREENDNS=yes \
    PYTHONDONTWRITEBYTECODE=1

RUN if [ -n "$EXTRA_CA_PEM" ]; then \
        printf '%s\n' "$EXTRA_CA_PEM" >/usr/local/share/ca-certificates/extra.crt && update-ca-certificates; \
    fi

# requirements-sandbox.lock for the sandbox's image.
ARG LOCK=requirements.lock
WORKDIR /shop
COPY requirements-installer.lock ${LOCK} ./
# Wheels only: what needs a compiler fails here and now, not on the one machine that has none. uv is several times as
# fast; pip installs where uv cannot, and behind a mirror, whose settings are pip's.
RUN python -m venv /opt/venv \
    && export PIP_CERT=${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt} \
    && export SSL_CERT_FILE=$PIP_CERT PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    && exact="--only-binary :all: --require-hashes -r" \
    && { [ -z "$PIP_INDEX_URL$PIP_EXTRA_INDEX_URL$PIP_TRUSTED_HOST$(pip config get global.index-url 2>/dev/null)" ] \
         && python -m venv /tmp/uv \
         && /tmp/uv/bin/pip install $exact requirements-installer.lock \
         && /tmp/uv/bin/uv pip install --python /opt/venv/bin/python --no-cache --compile-bytecode $exact "$LOCK" \
         || pip install $exact "$LOCK"; } \
    && rm -rf /tmp/uv

COPY . ./
# The sandbox's volume takes over the owner of this directory.
RUN useradd --system --uid 10001 --home-dir /shop --no-create-home --shell /usr/sbin/nologin shop \
    && mkdir var && chown shop: var \
    && python -m compileall -q /shop
USER shop
CMD ["python", "-m", "gateway"]
