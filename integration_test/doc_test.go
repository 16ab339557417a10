// Package integration_test runs what was built against the real world: a
// php-fpm of each test's own, WebSocket clients that share no code with the
// server, a headless browser. Whatever program is missing skips its tests and
// says which package has it; with WS_FPM_REQUIRE=1 it fails them instead.
package integration_test
