package integration_test

import (
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBrowser: the driver does what a hand at a mouse and a keyboard does.
func TestBrowser(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, `<!doctype html><title>p</title><link rel=icon href="data:,">
			<form onsubmit="out.innerText += ' sent ' + text.value; return false"><input id=text></form>
			<button id=far style="margin-top: 3000px" onclick="out.innerText += ' ' + event.isTrusted; console.log('clicked')">b</button>
			<p id=out>out</p>`)
	}))
	defer server.Close()
	b := startBrowser(t)
	b.navigate(server.URL)
	b.click("#text")
	b.typeText("grüße")
	b.press("Enter", 0)
	b.click("#far")
	b.waitFor("out.innerText.includes('true')")
	if got, want := b.text("#out"), "out sent grüße true"; got != want {
		t.Errorf("the page shows %q, want %q", got, want)
	}
	var sum int
	if b.eval("Promise.resolve(40 + 2)", &sum); sum != 42 {
		t.Errorf("eval = %d, want 42", sum)
	}
	b.wantQuiet()
	b.eval("setTimeout(() => { throw new Error('on purpose') })", nil)
	eventually(t, browserTimeout, "console and exception are kept", func() bool {
		said := strings.Join(b.console(), "\n")
		return strings.Contains(said, "clicked") && strings.Contains(said, "on purpose")
	})

	b.resize(390, 844, true, true)
	var dark bool
	if b.eval("matchMedia('(prefers-color-scheme: dark)').matches", &dark); !dark {
		t.Error("the page does not know that it is dark")
	}
	file := filepath.Join(t.TempDir(), "page.png")
	b.screenshot(file)
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if c, err := png.DecodeConfig(f); err != nil || c.Width != 390 {
		t.Errorf("screenshot is %d wide, %v; want 390", c.Width, err)
	}
}
