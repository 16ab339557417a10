package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestMetricsDocumented keeps METRICS.md the list of what /metrics shows.
func TestMetricsDocumented(t *testing.T) {
	const begin, end = "<!-- metrics -->\n", "<!-- /metrics -->"
	dir := t.TempDir()
	api := filepath.Join(dir, "api")
	_, stop := startServe(t, writeConfig(t, "listen = "+filepath.Join(dir, "s")+"\n[fastcgi]\naddress = /nobody/here.sock\n"+
		"[route /ws]\nscript = /nowhere/ws.php\n[control]\nlisten = "+api+"\n"))
	defer stop()
	want := metricsTable(t, scrape(t, api))
	b, err := os.ReadFile("METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(b), begin)
	table, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("METRICS.md has no %q … %q", begin, end)
	}
	if *update {
		if err := os.WriteFile("METRICS.md", []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != want {
		t.Error("METRICS.md does not show the metrics of the program; go test -run TestMetricsDocumented -update . rewrites it")
	}
}

func scrape(t *testing.T, socket string) string {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}
	r, err := (&http.Client{Transport: transport}).Get("http://localhost/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", r.Status, err)
	}
	return string(text)
}

var labelPattern = regexp.MustCompile(`([a-z_]+)="([^"]*)"`)

// metricsTable makes a row of each metric in text, with its labels' values where
// the program, and not the configuration, chooses them.
func metricsTable(t *testing.T, text string) string {
	t.Helper()
	configured := map[string]string{"pool": "a pool's name", "listener": "a listener's name", "le": "upper bounds in seconds"}
	var b strings.Builder
	b.WriteString("| metric | kind | labels | meaning |\n|---|---|---|---|\n")
	for family := range strings.SplitSeq(text, "# HELP ") {
		head, samples, found := strings.Cut(family, "\n# TYPE ")
		if !found {
			continue
		}
		name, help, _ := strings.Cut(head, " ")
		kind, samples, _ := strings.Cut(samples, "\n")
		_, kind, _ = strings.Cut(kind, " ")
		values := map[string][]string{}
		for _, m := range labelPattern.FindAllStringSubmatch(samples, -1) {
			if !slices.Contains(values[m[1]], m[2]) {
				values[m[1]] = append(values[m[1]], m[2])
			}
		}
		if name == "ws_fpm_tls_certificate_expiry_seconds" { // of listeners with TLS, and there is none
			values["listener"] = nil
		}
		var labels []string
		for _, label := range slices.Sorted(maps.Keys(values)) {
			if said, is := configured[label]; is {
				labels = append(labels, fmt.Sprintf("`%s`: %s", label, said))
			} else {
				labels = append(labels, fmt.Sprintf("`%s`: %s", label, strings.Join(values[label], ", ")))
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, kind, strings.Join(labels, "; "), help)
	}
	return b.String()
}
