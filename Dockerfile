# everpaid in a container: one executable, no shell needed, not root.
#
#   docker build -t everpaid .
#   docker run -v ./everpaid.toml:/etc/everpaid/everpaid.toml:ro -p 8700:8700 everpaid

FROM rust:1.94-bookworm AS build
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked && cp target/release/everpaid /usr/local/bin/everpaid

FROM debian:bookworm-slim
# To trust WeChat Pay's and the shops' hosts; with the executable it is all that is added.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /usr/local/bin/everpaid /usr/local/bin/everpaid
RUN install -d -o 10001 -g 10001 /var/lib/everpaid
USER 10001:10001
WORKDIR /var/lib/everpaid
ENV EVERPAID_CONFIG=/etc/everpaid/everpaid.toml
# The public listener, and the one for Prometheus.
EXPOSE 8700 8702
# SIGTERM lets it finish what it is at; give it 30 seconds.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s CMD ["everpaid", "healthcheck", "http://127.0.0.1:8700/readyz"]
ENTRYPOINT ["everpaid"]
CMD ["serve"]
