# The service on a CPU, without root. Build: docker build -t despoof .   Run: see docs/service.md.
FROM python:3.11-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/despoof
ENV PATH=/opt/despoof/bin:$PATH
COPY pyproject.toml README.md LICENSE /src/
COPY src /src/src
RUN pip install "/src[serve,video,heif]"

FROM python:3.11-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin despoof
COPY --from=build /opt/despoof /opt/despoof
ENV PATH=/opt/despoof/bin:$PATH OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=3s --start-period=60s CMD \
    ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
# Without a key file, or with an empty one, this does not start: nothing is open by mistake.
ENTRYPOINT ["despoof", "serve", "--host", "0.0.0.0", "--port", "8000"]
CMD ["--key-file", "/run/secrets/despoof_api_keys"]
