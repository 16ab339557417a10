# docker build -t ws-fpm .          the program alone: the last stage
# compose.yaml shows it at work, and runs the stages demo and test.

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o /ws-fpm .

FROM golang:1.26-bookworm AS test
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
    chromium file libfcgi-dev libwebsockets-dev nginx node-ws nodejs php-cgi php-cli php-fpm python3-websockets systemd \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ENV CI=true WS_FPM_REQUIRE=1
CMD ["./dev", "test"]

FROM debian:bookworm-slim AS demo
RUN apt-get update \
 && apt-get install -y --no-install-recommends php-fpm \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /ws-fpm /usr/local/bin/ws-fpm
USER www-data
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/ws-fpm"]
CMD ["demo", "-listen", "0.0.0.0:8080"]

FROM scratch
COPY --from=build /ws-fpm /ws-fpm
USER 65532:65532
EXPOSE 8080
# There is no shell here: each of these is the program itself.
HEALTHCHECK --interval=30s --timeout=5s CMD ["/ws-fpm", "health", "-config", "/etc/ws-fpm/ws-fpm.conf"]
ENTRYPOINT ["/ws-fpm"]
CMD ["serve", "-config", "/etc/ws-fpm/ws-fpm.conf"]
