# docker build -t ws-fpm .          the program alone: the last stage
# docker compose run --rm test      the whole suite, with php-fpm
# docker compose up demo            http://localhost:8080

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
ENTRYPOINT ["/ws-fpm"]
