//go:build linux

package load

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// account closes all connections and then asks the server's counters what has
// become of each message: sent, or dropped. Those still waiting for a
// subscriber that did not read are dropped when it has gone. Before is how many
// were meant for clients when the measurement began.
func account(address string, l *loop, before uint64, r *Result) error {
	for _, c := range l.conns {
		if c.fd >= 0 {
			syscall.Close(c.fd)
			c.fd = -1
		}
	}
	deadline := time.Now().Add(grace)
	for {
		meant, settled, err := counters(address)
		if err != nil {
			return err
		}
		r.Meant, r.Unaccounted = meant-before, meant-settled
		if r.Unaccounted == 0 || time.Now().After(deadline) {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// counters gives how many messages were meant for clients, and how many of
// them were sent or dropped.
func counters(address string) (meant, settled uint64, err error) {
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
		return 0, 0, err
	}
	defer resp.Body.Close()
	return parseCounters(resp.Body)
}

func parseCounters(r io.Reader) (meant, settled uint64, err error) {
	lines := bufio.NewScanner(r)
	found := 0
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		name, _, _ = strings.Cut(name, "{")
		sum := map[string]*uint64{
			"ws_fpm_messages_for_clients_total": &meant,
			"ws_fpm_messages_sent_total":        &settled,
			"ws_fpm_sends_dropped_total":        &settled,
		}[name]
		if !ok || sum == nil {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("metrics: %q", lines.Text())
		}
		*sum += uint64(n)
		found++
	}
	if found < 3 {
		return 0, 0, fmt.Errorf("metrics: %d of the counters that are needed, want 3 or more", found)
	}
	return meant, settled, lines.Err()
}
