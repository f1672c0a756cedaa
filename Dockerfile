# One image with every program of Vigil: `server` (API, worker, runner), `vigil-remediator`, `vigil-agent`, `vigil-gitopsd`.
#
#   docker build -t vigil .
#
# It compiles in a first stage; dependencies are a layer of their own, built again only when Cargo.lock or a Cargo.toml changes.
# PROFILE=dev compiles faster, and makes programs that are slower. BINARIES=prebuilt takes the programs from target/image instead,
# where `scripts/image` puts what was built outside.
# Build with BuildKit (the default of Docker since 23; DOCKER_BUILDKIT=1 before).
ARG RUST=1.95
ARG DEBIAN=bookworm
ARG BINARIES=compiled
ARG PROFILE=release

# --- What is built from what: the manifests, with an empty file for each program and library they name -----------------
FROM debian:${DEBIAN}-slim AS manifests
COPY . /all
RUN /all/scripts/manifests /all /manifests

# --- The programs, compiled here ----------------------------------------------------------------------------------------
FROM rust:${RUST}-slim-${DEBIAN} AS compiled
ARG PROFILE
# A machine whose way to crates.io has a certificate of its own gives it as a secret (--secret id=ca,src=FILE).
ENV CARGO_INCREMENTAL=0
WORKDIR /build
COPY --from=manifests /manifests .
RUN --mount=type=secret,id=ca \
    if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca CARGO_HTTP_CAINFO=/run/secrets/ca; fi \
    && cargo build --profile "$PROFILE" --locked --workspace --bins --example server
COPY . .
# The empty files were built a moment ago, and cargo judges by time.
RUN --mount=type=secret,id=ca \
    if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca CARGO_HTTP_CAINFO=/run/secrets/ca; fi \
    && find . -name '*.rs' -not -path './target/*' -exec touch {} + \
    && cargo build --profile "$PROFILE" --locked --workspace --bins --example server \
    && mkdir /out \
    && built=target/$(if [ "$PROFILE" = dev ]; then echo debug; else echo "$PROFILE"; fi) \
    && for program in examples/server vigil-remediator vigil-agent vigil-gitopsd; do \
         strip -o "/out/$(basename "$program")" "$built/$program" || exit 1; \
       done

# --- The programs, compiled elsewhere -----------------------------------------------------------------------------------
FROM debian:${DEBIAN}-slim AS prebuilt
COPY target/image/ /out/

# hadolint ignore=DL3006
FROM ${BINARIES} AS binaries

# --- The image ----------------------------------------------------------------------------------------------------------
FROM debian:${DEBIAN}-slim
# curl and pgrep are what the documented health checks and runbooks call; git fetches what gitopsd compares.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl git procps \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 vigil \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/vigil --create-home --shell /usr/sbin/nologin vigil
COPY --from=binaries /out/ /usr/local/bin/
COPY configs/ /vigil/configs/
RUN server --version && vigil-remediator --version && vigil-agent --version && vigil-gitopsd --version
# Configuration is found under /vigil/configs and may be mounted over; the only folder that is written is /var/lib/vigil, so
# that the root may be read-only.
WORKDIR /vigil
ENV DATABASE_URL=sqlite:////var/lib/vigil/vigil.db \
    VIGIL_AGENT_BUFFER=/var/lib/vigil/agent-buffer
VOLUME /var/lib/vigil
USER 10001:10001
EXPOSE 8000 8081 8082 8083
STOPSIGNAL SIGTERM
# For `server`; the other programs are asked at their /health.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["server", "check", "--live"]
CMD ["server"]
