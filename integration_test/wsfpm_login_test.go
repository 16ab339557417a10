package integration_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ws-fpm/fastcgi"
)

// website serves the examples as a site's web server would: PHP pages by f's
// php-fpm, other files as they are, and /ws by handing it on to g.
func website(t testing.TB, f *phpFPM, g *gateway) *httptest.Server {
	c := f.fastcgiClient(t, fastcgi.Options{})
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir("../php/examples")))
	mux.Handle("/ws", &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: g.addresses[0]})
		r.Out.Host = r.In.Host // which the page's origin must name
	}})
	mux.HandleFunc("/favicon.ico", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/login.php", func(w http.ResponseWriter, r *http.Request) {
		if err := f.page(r.Context(), c, w, r); err != nil {
			t.Errorf("%s: %v", r.URL, err)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

// page has php-fpm answer a request for one of the examples.
func (f *phpFPM) page(ctx context.Context, c *fastcgi.Client, w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	req := f.post("examples"+r.URL.Path, string(body), "REQUEST_URI", r.RequestURI, "HTTP_COOKIE", r.Header.Get("Cookie"),
		"CONTENT_TYPE", r.Header.Get("Content-Type"))
	req.Get = r.Method == http.MethodGet
	answer, err := c.Do(ctx, req)
	if err != nil {
		return err
	}
	defer answer.Close()
	if body, err = answer.AppendBody(nil, replyLimit); err != nil {
		return err
	}
	for _, field := range answer.Header {
		w.Header().Add(field.Name, field.Value)
	}
	w.WriteHeader(answer.Status)
	w.Write(body)
	return nil
}

// picture is where a screenshot goes: WS_FPM_PICTURES, to be looked at, or
// nowhere for long.
func picture(t testing.TB, name string) string {
	if dir := os.Getenv("WS_FPM_PICTURES"); dir != "" {
		return filepath.Join(dir, name)
	}
	return filepath.Join(t.TempDir(), name)
}

// TestLoginExample: in one window a visitor without a session sees why, in
// another one who has signed in is answered and stays the same visitor.
func TestLoginExample(t *testing.T) {
	sessions := publicDir(t)
	if err := os.Chmod(sessions, 0o777); err != nil {
		t.Fatal(err)
	}
	f := startWsFpm(t, "php_value[session.save_path] = "+sessions)
	g := startGateway(t, f.config("", "/ws examples/login-ws.php\nevents = connect, message"))
	site := website(t, f, g)

	if r, body := refused(t, g.at("/ws")); r.StatusCode != 401 || body != "Sign in first.\n" {
		t.Errorf("a raw client without a session: %d %q, want PHP's 401", r.StatusCode, body)
	}

	stranger := startBrowser(t)
	stranger.navigate(site.URL + "/login.php")
	stranger.waitFor("document.querySelector('#state')?.textContent.startsWith('closed')")
	if got := stranger.text("#state"); got != "closed: 4401 sign in first" {
		t.Errorf("without a session the page shows %q", got)
	}
	stranger.screenshot(picture(t, "login-refused.png"))

	member := startBrowser(t)
	member.navigate(site.URL + "/login.php")
	member.click("[name=name]")
	member.typeText("Ada <b>")
	member.press("Enter", 0)
	member.waitFor("document.querySelector('#state')?.textContent === 'connected' && document.querySelectorAll('#log li').length === 1")
	member.click("#text")
	for i := range 10 {
		member.typeText("message " + itoa(i))
		member.press("Enter", 0)
	}
	member.waitFor("document.querySelectorAll('#log li').length === 11")
	var answers []struct{ Name, Session, Text string }
	member.eval("[...document.querySelectorAll('#log li')].slice(1).map(li => JSON.parse(li.textContent))", &answers)
	for i, a := range answers {
		if a.Name != "Ada <b>" || a.Text != "message "+itoa(i) || len(a.Session) != 8 || a.Session != answers[0].Session {
			t.Errorf("answer %d is %+v, the first %+v", i, a, answers[0])
		}
	}
	member.screenshot(picture(t, "login-answered.png"))
	member.wantQuiet()
	if n, _ := filepath.Glob(sessions + "/sess_*"); len(n) != 2 {
		t.Errorf("%d sessions for two visitors", len(n))
	}

	// Who signs out elsewhere is not served any longer.
	member.eval("fetch('login.php', {method: 'POST', body: new URLSearchParams({name: ''})}).then(r => r.status)", nil)
	member.click("#text")
	member.typeText("still there?")
	member.press("Enter", 0)
	member.waitFor("document.querySelector('#state')?.textContent.startsWith('closed')")
	if got := member.text("#state"); got != "closed: 4401 signed out" {
		t.Errorf("after signing out the page shows %q", got)
	}
	if n := strings.Count(member.text("#log"), "still there?"); n != 0 {
		t.Error("the message after signing out was answered")
	}
}
