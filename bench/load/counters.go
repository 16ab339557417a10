//go:build linux

package load

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// counters gives how many messages were meant for clients, and how many of
// them were sent or dropped.
func counters(address string) (meant, settled uint64, err error) {
	sums, err := scrape(address, "ws_fpm_messages_for_clients_total", "ws_fpm_messages_sent_total", "ws_fpm_sends_dropped_total")
	if err != nil {
		return 0, 0, err
	}
	return uint64(sums[0]), uint64(sums[1] + sums[2]), nil
}

// Garbage is what the server's Go has allocated and collected so far.
type garbage struct {
	allocs, collections uint64
	collecting          time.Duration
}

func readGarbage(address string) (garbage, error) {
	sums, err := scrape(address, "go_heap_allocs_total", "go_gc_cycles_total", "go_gc_cpu_seconds_total")
	if err != nil {
		return garbage{}, err
	}
	return garbage{uint64(sums[0]), uint64(sums[1]), time.Duration(sums[2] * 1e9)}, nil
}

// scrape gives some of the server's counters, each the sum of its series.
func scrape(address string, names ...string) ([]float64, error) {
	network, to := "tcp", address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, to = "unix", path
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, to)
	}}
	client := http.Client{Timeout: patience, Transport: transport}
	resp, err := client.Get("http://localhost/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return sumCounters(resp.Body, names)
}

// sumCounters adds up the series of each name. One that is not there is an error.
func sumCounters(r io.Reader, names []string) ([]float64, error) {
	sums, found := make([]float64, len(names)), make([]bool, len(names))
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		series, value, _ := strings.Cut(lines.Text(), " ")
		name, _, _ := strings.Cut(series, "{")
		i := slices.Index(names, name)
		if i < 0 {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("metrics: %q", lines.Text())
		}
		sums[i], found[i] = sums[i]+n, true
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if i := slices.Index(found, false); i >= 0 {
		return nil, fmt.Errorf("metrics: there is no %s", names[i])
	}
	return sums, nil
}
