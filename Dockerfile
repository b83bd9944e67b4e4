FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /app
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY graphql_mfa graphql_mfa
RUN /app/bin/pip install --no-cache-dir --constraint constraints.txt .

FROM python:3.13-slim
# By number, so that Kubernetes can see that it is not root.
RUN install --directory --owner 10001 --group 10001 --mode 0700 /data
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GRAPHQL_MFA_DATABASE_URL=sqlite+aiosqlite:////data/graphql_mfa.db
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=2); \
c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["graphql-mfa"]
CMD ["serve", "--host", "0.0.0.0"]
