# One image that holds every program; what runs is the container's command, such as `haetae-intake --config FILE`.
#
#   docker build .                                           everything, from the sources
#   docker build --target prebuilt -f Dockerfile PROGRAMS    the same image around programs that were built already
#
# `cargo xtask image` does either. Plain instructions only, so that docker, podman and buildah all build it. For a build that can be
# repeated, give both bases by digest: --build-arg BASE=debian@sha256:…  --build-arg RUST=rust@sha256:…
ARG BASE=debian:bookworm-slim
ARG RUST=rust:1.95-slim-bookworm

# What is around the programs. Exchanges' and nodes' public certificates are checked against the system's authorities.
FROM ${BASE} AS system
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Haetae" \
      org.opencontainers.image.description="Confirms who holds a wallet address, follows stolen funds, and has them frozen at exchanges." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Nobody's number: it owns no file in here, and nothing in here is written to.
USER 65532:65532
WORKDIR /
CMD ["/usr/local/bin/haetae", "--help"]

# The image around programs that were built elsewhere: the build context is the folder that holds them.
FROM system AS prebuilt
COPY haetae* /usr/local/bin/

# What decides about dependencies, and nothing else: manifests, the lock file, and an empty source where each program or library has
# one. The next stage copies from here, so its expensive layer stays cached for as long as these contents do. (cargo-chef does the
# same with a program that would have to be built and trusted first.)
FROM ${RUST} AS manifests
WORKDIR /sources
COPY . .
RUN find . -name build.rs -exec sh -c 'for file; do echo "fn main() { }" > "$file"; done' sh {} + \
    && find . -path '*/src/main.rs' -exec sh -c 'for file; do echo "fn main() { }" > "$file"; done' sh {} + \
    && find . -path '*/src/lib.rs' -exec sh -c 'for file; do : > "$file"; done' sh {} + \
    && find . -type f ! -name Cargo.toml ! -name Cargo.lock ! -path './.cargo/*' \
        ! -name build.rs ! -path '*/src/main.rs' ! -path '*/src/lib.rs' -delete \
    && find . -type d -empty -delete

# The base image has the toolchain and a C compiler; nothing else is needed.
FROM ${RUST} AS build
WORKDIR /sources
ENV PROGRAMS="haetae haetae-intake haetae-tracking haetae-freeze haetae-connector haetae-sandbox"
COPY --from=manifests /sources .
RUN cargo build --release --locked --bins $(printf -- '--package %s ' $PROGRAMS)
COPY . .
# Cargo goes by time, and the copies may be older than what was just built from empty sources.
RUN find libs services tools -name '*.rs' -exec touch {} + \
    && cargo build --release --locked --bins $(printf -- '--package %s ' $PROGRAMS) \
    && for program in $PROGRAMS; do install -D "target/release/$program" "/programs/$program"; done

FROM system AS runtime
COPY --from=build /programs/ /usr/local/bin/
