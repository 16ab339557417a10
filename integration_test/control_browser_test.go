package integration_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// fetch is a request of the page, whose status and text, or error, it gives.
func (b *browser) fetch(address, init string) (answer string) {
	b.t.Helper()
	b.eval(`fetch(`+quote(address)+`, `+init+`).then(async r => r.type + " " + r.status + " " + await r.text(), e => "error " + e.message)`, &answer)
	return answer
}

// TestControlRebinding: a page whose name comes to mean this machine, once it is
// loaded, gets nothing of the control API, though the browser takes it for the
// page's own server; nor does a page of another server on this machine.
func TestControlRebinding(t *testing.T) {
	t.Parallel()
	f := startFPM(t, fpmOptions{})
	control, local := freeAddress(t), freeAddress(t)
	host, port, _ := net.SplitHostPort(control)
	_, localPort, _ := net.SplitHostPort(local)
	b := startBrowser(t, fmt.Sprintf("--host-resolver-rules=MAP evil.test %s, MAP localhost:%s %s, MAP localhost:%s %s", host, port, control, localPort, local))
	serve := func(address string) (stop func()) {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, `<!DOCTYPE html><link rel=icon href="data:,"><title>attack</title>`)
		})}
		done := make(chan struct{})
		go func() { defer close(done); s.Serve(l) }()
		return func() { s.Close(); <-done }
	}
	t.Cleanup(serve(local))

	// The attacker's own server answers first; then the name means ws-fpm.
	stop := serve(control)
	b.navigate("http://evil.test:" + port + "/")
	stop()
	g := startGateway(t, f.config("", "/ws echo.php")+"[control]\nlisten = "+control+"\ntoken_file = "+tokenFile(t)+"\n")
	refused := func(cause string) float64 { return g.metrics()[`ws_fpm_control_refused_total{cause="`+cause+`"}`] }
	for _, test := range []struct{ name, address, init, cause string }{
		{"GET", "/metrics", "{}", "host"},
		{"GET with the token", "/metrics", `{headers: {Authorization: "Bearer ` + controlToken + `"}}`, "host"},
		{"a connection's page", "/connections/0123456789abcdef0123456789abcdef", `{headers: {Authorization: "Bearer ` + controlToken + `"}}`, "host"},
		{"DELETE", "/connections/0123456789abcdef0123456789abcdef", `{method: "DELETE"}`, "browser"},
		{"POST", "/connections/0123456789abcdef0123456789abcdef", `{method: "POST", body: "x"}`, "browser"},
	} {
		before := refused(test.cause)
		answer := b.fetch("http://evil.test:"+port+test.address, test.init)
		if !strings.HasPrefix(answer, "basic 403 ") || strings.Contains(answer, "ws_fpm") {
			t.Errorf("rebound, %s: the page reads %.300q; want 403", test.name, answer)
		}
		if got := refused(test.cause) - before; got != 1 {
			t.Errorf("rebound, %s: %v refused for %s, want 1", test.name, got, test.cause)
		}
	}

	b.navigate("http://localhost:" + localPort + "/")
	for _, init := range []string{`{mode: "no-cors"}`, `{mode: "no-cors", method: "POST", body: "x"}`, `{}`, `{headers: {Authorization: "Bearer ` + controlToken + `"}}`} {
		before := refused("browser")
		answer := b.fetch("http://localhost:"+port+"/metrics", init)
		if strings.Contains(answer, "ws_fpm") || strings.Contains(answer, "200") {
			t.Errorf("another local server's page, %s: it reads %.300q", init, answer)
		}
		if got := refused("browser") - before; got != 1 {
			t.Errorf("another local server's page, %s: %v refused as a browser's, want 1", init, got)
		}
	}
	before := refused("browser")
	b.navigate("http://localhost:" + port + "/metrics") // as if typed by hand: Sec-Fetch-Site: none
	var text string
	if b.eval("document.body.innerText", &text); strings.Contains(text, "ws_fpm") || refused("browser") <= before {
		t.Errorf("the address bar gets %.300q", text)
	}

	// The same address answers who has the token and is no browser.
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", control)
	if err != nil {
		t.Fatal(err)
	}
	if status, body := httpGet(t, conn, "/metrics", "Host: "+control, "Authorization: Bearer "+controlToken); status != 200 || !strings.Contains(body, "ws_fpm_connections 0") {
		t.Errorf("with the token: %d %.100s", status, body)
	}
}
