package integration_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// shots is where screenshots go: a directory of the test's own, or the one
// that WS_FPM_SHOTS names, for a person to look at.
func shots(t testing.TB) string {
	if dir := os.Getenv("WS_FPM_SHOTS"); dir != "" {
		return dir
	}
	return t.TempDir()
}

// lastRow is the text of the newest line of the page's log, once it is of the
// kind wanted.
func (b *browser) lastRow(kind string) string {
	b.t.Helper()
	b.waitFor(`document.querySelector("#log tbody tr:last-child")?.dataset.kind === ` + quote(kind))
	return b.text("#log tbody tr:last-child")
}

// wantFits fails the test if the page is wider than the window.
func (b *browser) wantFits() {
	b.t.Helper()
	var over float64
	b.eval("document.documentElement.scrollWidth - innerWidth", &over)
	if over > 0 {
		b.t.Errorf("the page is %v pixels wider than the window", over)
	}
}

// TestPage: a visitor with a mouse connects, sends the message, sees PHP's
// JSON, disconnects and sees why.
func TestPage(t *testing.T) {
	t.Parallel()
	d, b, dir := startDemo(t), startBrowser(t), shots(t)
	b.navigate("http://" + d.address + "/")
	if got := b.text("#state"); got != "disconnected" {
		t.Errorf("at first the page says %q", got)
	}
	b.click("#connect")
	b.waitFor(`document.querySelector("#state").dataset.state === "open"`)
	if row := b.lastRow("note"); !strings.Contains(row, "connected to ws://"+d.address+"/ws/") {
		t.Errorf("after connecting the log says %q", row)
	}
	b.click("#message")
	b.eval("document.activeElement.select()", nil)
	b.typeText("Test message 4444")
	b.click("#send")
	b.lastRow("received")
	var payload string
	b.eval(`document.querySelector("#log tbody tr:last-child pre").textContent`, &payload)
	wantArticle(t, payload)
	if row := b.lastRow("received"); !strings.Contains(row, "text") || !strings.Contains(row, " ms") || !strings.Contains(row, "kB") {
		t.Errorf("the answer's line lacks opcode, size or time: %.80q", row)
	}
	b.wantFits()
	b.screenshot(filepath.Join(dir, "answer.png"))

	b.click("label:has(#opcode-binary)")
	b.click("#message")
	b.eval("document.activeElement.select()", nil)
	b.typeText("0x48 69 ff")
	b.click("#send")
	b.waitFor(`document.querySelector("#totals").textContent === "2 sent, 2 received"`)
	var sent string
	b.eval(`document.querySelector("#log tbody tr:nth-last-child(2)").innerText`, &sent)
	if !strings.Contains(sent, "binary") || !strings.Contains(sent, "48 69 ff") {
		t.Errorf("the line of the binary message is %q", sent)
	}

	b.click("#disconnect")
	b.waitFor(`document.querySelector("#state").dataset.state === "closed"`)
	if row := b.lastRow("note"); !strings.Contains(row, "1000 normal") {
		t.Errorf("after disconnecting the log says %q", row)
	}
	b.screenshot(filepath.Join(dir, "closed.png"))
	b.wantQuiet()
}

// TestPageKeyboard: the page works without a mouse, on a phone, in the dark.
func TestPageKeyboard(t *testing.T) {
	t.Parallel()
	d, b, dir := startDemo(t), startBrowser(t), shots(t)
	b.resize(390, 844, true, true)
	b.navigate("http://" + d.address + "/")
	focus := func() (id string) {
		b.eval("document.activeElement.id", &id)
		return id
	}
	for range 20 {
		if focus() == "connect" {
			break
		}
		b.press("Tab", 0)
	}
	if focus() != "connect" {
		t.Fatalf("Tab never reaches the connect button")
	}
	b.press("Enter", 0)
	b.waitFor(`document.querySelector("#state").dataset.state === "open"`)
	if got := focus(); got != "message" {
		t.Errorf("after connecting %q has the focus, want the message", got)
	}
	b.press("Enter", 0) // the message of the article is in the box already
	b.lastRow("received")
	var payload string
	b.eval(`document.querySelector("#log tbody tr:last-child pre").textContent`, &payload)
	wantArticle(t, payload)
	b.typeText("another") // what was sent is selected, so that the next message takes its place
	b.press("Enter", 0)
	b.waitFor(`document.querySelector("#totals").textContent === "2 sent, 2 received"`)
	b.eval(`document.querySelector("#log tbody tr:nth-last-child(2) pre").textContent`, &payload)
	if payload != "another" {
		t.Errorf("the second message sent is %q", payload)
	}
	b.wantFits()
	b.screenshot(filepath.Join(dir, "phone-dark.png"))
	b.press("Tab", 8)
	for range 10 {
		if focus() == "disconnect" {
			break
		}
		b.press("Tab", 8)
	}
	b.press(" ", 0)
	b.waitFor(`document.querySelector("#state").dataset.state === "closed"`)
	if row := b.lastRow("note"); !strings.Contains(row, "1000 normal") {
		t.Errorf("after disconnecting the log says %q", row)
	}
	b.resize(390, 844, true, false)
	b.screenshot(filepath.Join(dir, "phone-light.png"))
	b.wantQuiet()
}

// TestPageLosesServer: when the server goes away the page says so in words.
func TestPageLosesServer(t *testing.T) {
	t.Parallel()
	d, b, dir := startDemo(t), startBrowser(t), shots(t)
	b.navigate("http://" + d.address + "/")
	b.eval(`document.querySelector("#route").value = "/slow"; document.querySelector("#route").dispatchEvent(new Event("change"))`, nil)
	b.click("#connect")
	b.waitFor(`document.querySelector("#state").dataset.state === "open"`)
	b.resize(1000, 800, false, true)
	d.kill()
	b.waitFor(`document.querySelector("#state").dataset.state === "closed"`)
	if row := b.lastRow("fault"); !strings.Contains(row, "1006 the connection was lost") {
		t.Errorf("after the server went the log says %q", row)
	}
	b.click("#connect")
	b.waitFor(`document.querySelectorAll("#log tbody tr").length === 3`)
	if row := b.lastRow("fault"); !strings.Contains(row, "could not connect") {
		t.Errorf("without a server the log says %q", row)
	}
	b.screenshot(filepath.Join(dir, "lost-dark.png"))
}
