# Prometheus as Debian packages it. Its configuration is mounted by
# compose.monitoring.yaml.

FROM debian:bookworm-slim
RUN apt-get -qq update && \
    apt-get -qq install -y --no-install-recommends prometheus && \
    rm -rf /var/lib/apt/lists/* && \
    install -d -o 65534 -g 65534 /prometheus
USER 65534:65534
VOLUME /prometheus
EXPOSE 9090
ENTRYPOINT ["/usr/bin/prometheus"]
