package integration_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// browserTimeout is how long a browser may take for anything.
const browserTimeout = 20 * time.Second

// browser is a headless Chromium with one page, driven over its DevTools
// protocol by this package's own WebSocket client.
type browser struct {
	t       testing.TB
	ws      *client
	session string // of the page

	mu      sync.Mutex // guards what follows
	lastID  int
	waiting map[int]chan devtoolsReply
	loads   int      // load events so far
	said    []string // console messages and exceptions
	gone    bool     // the connection has ended: nobody answers any more
}

// devtoolsReply is an answer or an event.
type devtoolsReply struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// startBrowser starts Chromium with an empty page of 1000 by 800, and ends it
// with t. It may be given more flags.
func startBrowser(t testing.TB, flags ...string) *browser {
	t.Helper()
	path := requireProgram(t, "chromium", "chromium", "chromium-browser", "google-chrome")
	profile, err := os.MkdirTemp("", "wsf-chromium")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(profile) })
	flags = append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--disable-dev-shm-usage", "--window-size=1000,800", "--remote-debugging-port=0", "--user-data-dir=" + profile}, flags...)
	p := startProcess(t, exec.Command(path, flags...))
	line := regexp.MustCompile(`DevTools listening on (ws://\S+)`)
	var found []string
	eventually(t, browserTimeout, "chromium says where it listens", func() bool {
		found = line.FindStringSubmatch(strings.Join(p.log(), "\n"))
		return found != nil || p.ended()
	})
	if found == nil {
		t.Fatalf("chromium ended:\n%s", strings.Join(p.log(), "\n"))
	}
	u, err := url.Parse(found[1])
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, ws: dial(t, handshake{address: u.Host, path: u.Path}), waiting: map[int]chan devtoolsReply{}}
	b.ws.timeout = 10 * time.Minute // the reader waits as long as the test lasts
	done := make(chan struct{})
	go func() { defer close(done); b.read() }()
	t.Cleanup(func() { b.ws.conn.Close(); <-done })

	var target struct{ TargetID, SessionID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &target)
	b.session = target.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

// read hands answers to those who wait and keeps what events tell.
func (b *browser) read() {
	for {
		_, data, err := b.ws.message()
		var r devtoolsReply
		if err == nil {
			err = json.Unmarshal(data, &r)
		}
		b.mu.Lock()
		if err != nil {
			b.gone = true
			for _, c := range b.waiting {
				close(c)
			}
			clear(b.waiting)
			b.mu.Unlock()
			return
		}
		switch {
		case r.ID != 0:
			if c := b.waiting[r.ID]; c != nil {
				c <- r // has room for the one answer
				delete(b.waiting, r.ID)
			}
		case r.Method == "Page.loadEventFired":
			b.loads++
		case r.Method == "Runtime.consoleAPICalled", r.Method == "Runtime.exceptionThrown", r.Method == "Log.entryAdded":
			b.said = append(b.said, r.Method+" "+string(r.Params))
		}
		b.mu.Unlock()
	}
}

// call runs one DevTools command; result may be nil.
func (b *browser) call(method string, params map[string]any, result any) {
	b.t.Helper()
	c := make(chan devtoolsReply, 1)
	b.mu.Lock()
	b.lastID++
	id, gone := b.lastID, b.gone
	if !gone {
		b.waiting[id] = c
	}
	b.mu.Unlock()
	if gone {
		b.t.Fatalf("devtools: %s: the browser is gone", method)
	}
	message := map[string]any{"id": id, "method": method}
	if params != nil {
		message["params"] = params
	}
	if b.session != "" {
		message["sessionId"] = b.session
	}
	data, err := json.Marshal(message)
	if err == nil {
		err = b.ws.text(string(data))
	}
	if err != nil {
		b.t.Fatalf("devtools: %s: %v", method, err)
	}
	select {
	case r, ok := <-c:
		switch {
		case !ok:
			b.t.Fatalf("devtools: %s: the browser went away", method)
		case r.Error != nil:
			b.t.Fatalf("devtools: %s: %s", method, r.Error.Message)
		case result != nil:
			if err := json.Unmarshal(r.Result, result); err != nil {
				b.t.Fatalf("devtools: %s: %v in %.200s", method, err, r.Result)
			}
		}
	case <-time.After(browserTimeout):
		b.t.Fatalf("devtools: %s: no answer", method)
	}
}

// navigate opens a page and waits for its load event.
func (b *browser) navigate(address string) {
	b.t.Helper()
	b.mu.Lock()
	before := b.loads
	b.mu.Unlock()
	var r struct{ ErrorText string }
	b.call("Page.navigate", map[string]any{"url": address}, &r)
	if r.ErrorText != "" {
		b.t.Fatalf("opening %s: %s", address, r.ErrorText)
	}
	eventually(b.t, browserTimeout, "the load event of "+address, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.loads > before
	})
}

// eval runs JavaScript, awaits it if it is a promise, and decodes its value
// into result, which may be nil.
func (b *browser) eval(script string, result any) {
	b.t.Helper()
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	b.call("Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true, "awaitPromise": true}, &r)
	if e := r.ExceptionDetails; e != nil {
		b.t.Fatalf("%s: %s %s", script, e.Text, e.Exception.Description)
	}
	if result != nil && len(r.Result.Value) > 0 {
		if err := json.Unmarshal(r.Result.Value, result); err != nil {
			b.t.Fatalf("%s = %s: %v", script, r.Result.Value, err)
		}
	}
}

// waitFor waits until a JavaScript expression is true.
func (b *browser) waitFor(expression string) {
	b.t.Helper()
	if !waitUntil(browserTimeout, func() (ok bool) { b.eval("!!("+expression+")", &ok); return ok }) {
		b.t.Fatalf("never true: %s; the page said: %s", expression, b.console())
	}
}

// quote is s as a JavaScript string.
func quote(s string) string {
	q, _ := json.Marshal(s)
	return string(q)
}

// text gives the visible text of the first element that selector matches.
func (b *browser) text(selector string) (s string) {
	b.t.Helper()
	b.eval("document.querySelector("+quote(selector)+").innerText", &s)
	return s
}

// click waits for an element, scrolls to it and presses the left mouse button
// at its centre, where it must not be covered by another element.
func (b *browser) click(selector string) {
	b.t.Helper()
	element := "document.querySelector(" + quote(selector) + ")"
	b.waitFor(element)
	var at struct {
		X, Y    float64
		Covered bool
	}
	b.eval(`(e => {
		e.scrollIntoView({block: "center", inline: "center", behavior: "instant"});
		const r = e.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2;
		const top = document.elementFromPoint(x, y);
		return {x, y, covered: !top || !(e.contains(top) || top.contains(e))};
	})(`+element+`)`, &at)
	if at.Covered {
		b.t.Fatalf("%s cannot be clicked at %v,%v: another element covers it", selector, at.X, at.Y)
	}
	for _, event := range []string{"mouseMoved", "mousePressed", "mouseReleased"} {
		params := map[string]any{"type": event, "x": at.X, "y": at.Y}
		if event != "mouseMoved" {
			params["button"], params["clickCount"] = "left", 1
		}
		b.call("Input.dispatchMouseEvent", params, nil)
	}
}

// typeText puts text in the element that has the focus, as an input method does.
func (b *browser) typeText(text string) {
	b.t.Helper()
	b.call("Input.insertText", map[string]any{"text": text}, nil)
}

// keys are those that press knows: the key's text and its virtual key code.
var keys = map[string]struct {
	text string
	code int
}{
	"Enter": {"\r", 13}, "Tab": {"", 9}, "Escape": {"", 27}, "Backspace": {"", 8}, " ": {" ", 32},
	"ArrowUp": {"", 38}, "ArrowDown": {"", 40}, "ArrowLeft": {"", 37}, "ArrowRight": {"", 39},
}

// press presses and releases a key. modifiers: Alt 1, Control 2, Meta 4, Shift 8.
func (b *browser) press(key string, modifiers int) {
	b.t.Helper()
	k, known := keys[key]
	if !known {
		b.t.Fatalf("press: unknown key %q", key)
	}
	down := map[string]any{"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": k.code, "modifiers": modifiers}
	if key == " " {
		down["code"] = "Space"
	}
	if k.text != "" {
		down["text"] = k.text
	} else {
		down["type"] = "rawKeyDown"
	}
	b.call("Input.dispatchKeyEvent", down, nil)
	b.call("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key, "code": down["code"],
		"windowsVirtualKeyCode": k.code, "modifiers": modifiers}, nil)
}

// resize makes the page as large as a device's; dark prefers a dark scheme.
func (b *browser) resize(width, height int, mobile, dark bool) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{
		"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}, nil)
	scheme := map[bool]string{false: "light", true: "dark"}[dark]
	b.call("Emulation.setEmulatedMedia", map[string]any{
		"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// screenshot writes what the page shows to a PNG file.
func (b *browser) screenshot(file string) {
	b.t.Helper()
	var r struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &r)
	png, err := base64.StdEncoding.DecodeString(r.Data)
	if err == nil {
		err = os.WriteFile(file, png, 0o644)
	}
	if err != nil {
		b.t.Fatalf("screenshot: %v", err)
	}
}

// console gives the console messages, exceptions and network errors so far.
func (b *browser) console() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.said[:len(b.said):len(b.said)]
}

// wantQuiet fails the test if the page complained.
func (b *browser) wantQuiet() {
	b.t.Helper()
	for _, s := range b.console() {
		if strings.HasPrefix(s, "Runtime.exceptionThrown") || strings.Contains(s, `"error"`) {
			b.t.Error(fmt.Sprintf("the page complained: %.500s", s))
		}
	}
}
