package integration_test

import (
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// demoAPI finds the address of the demo's control API in the line that says how
// to push.
var demoAPI = regexp.MustCompile(`push -api (\S+) -channel chat/lobby`)

// chatter is a browser in the demo's chat.
type chatter struct{ *browser }

// chat opens the page without a session, which is refused with a reason.
func (d *demo) chat() chatter {
	b := startBrowser(d.t)
	b.navigate("http://" + d.address + "/chat/")
	b.waitFor(`!document.querySelector("#sign-in").hidden`)
	if got := b.text("#why"); got != "Sign in first." {
		d.t.Errorf("without a session the page says %q", got)
	}
	return chatter{b}
}

// signIn waits until the server has greeted.
func (c chatter) signIn(name string) {
	c.waitFor(`document.activeElement.id === "name"`)
	c.typeText(name)
	c.press("Enter", 0)
	c.waitFor(`document.querySelector("#state").dataset.state === "open" && document.activeElement.id === "text"`)
}

// say sends a message by the keyboard alone.
func (c chatter) say(text string) {
	c.waitFor(`document.activeElement.id === "text" && document.activeElement.value === ""`)
	c.typeText(text)
	c.press("Enter", 0)
}

// sees waits for one line of the log of that class and with that text, and
// fails the test if there are more.
func (c chatter) sees(class, text string) {
	c.t.Helper()
	lines := `[...document.querySelectorAll("#log li.` + class + ` .text")].filter(e => e.textContent === ` + quote(text) + `).length`
	c.waitFor(lines + " > 0")
	var n int
	if c.eval(lines, &n); n != 1 {
		c.t.Errorf("%d lines say %q, want 1", n, text)
	}
}

// wantPeople waits until these are shown to be there.
func (c chatter) wantPeople(names string) {
	c.t.Helper()
	c.waitFor(`[...document.querySelectorAll("#people li")].map(e => e.textContent).join("; ") === ` + quote(names))
}

// TestChat: two windows chat in one room and a third hears nothing of it in
// another; ws-fpm push and an ordinary PHP page reach both; one leaves, and the
// other is told.
func TestChat(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	ada, bob, eve := d.chat(), d.chat(), d.chat()
	ada.screenshot(picture(t, "chat-refused.png"))
	const bobby = "Bob <b>&amp;"
	ada.signIn("Ada")
	ada.wantPeople("Ada (you)")
	bob.signIn(bobby)
	ada.sees("note", bobby+" has come")
	ada.wantPeople("Ada (you); " + bobby)
	bob.wantPeople("Ada; " + bobby + " (you)")
	eve.signIn("Eve")
	ada.sees("note", "Eve has come")
	eve.click(`[data-room="garden"]`)
	eve.sees("note", "You are in the garden.")
	ada.sees("note", "Eve has left")

	const attack = `<img src=x onerror="document.title='hit'">`
	ada.say("Shall we meet for lunch? Grüße 🙂")
	bob.sees("other", "Shall we meet for lunch? Grüße 🙂")
	ada.sees("own", "Shall we meet for lunch? Grüße 🙂")
	bob.say(attack)
	ada.sees("other", attack)
	bob.sees("own", attack)
	bob.typeText("The menu is on the web page")
	bob.click("#push")
	ada.sees("other", "The menu is on the web page")
	bob.sees("own", "The menu is on the web page")
	if got := ada.text("#log li:last-child .via"); got != "by a web page" {
		t.Errorf("what an ordinary page has sent is said to come %q", got)
	}
	found := demoAPI.FindStringSubmatch(strings.Join(d.log(), "\n"))
	if found == nil {
		t.Fatal("the demo does not say how to push")
	}
	cmd := exec.CommandContext(t.Context(), buildBinary(t), "push", "-api", found[1], "-channel", "chat/lobby", "The kitchen closes at 2 pm.")
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "delivered to 2 connections\n" {
		t.Errorf("ws-fpm push: %q, %v", out, err)
	}
	ada.sees("news", "The kitchen closes at 2 pm.")
	bob.sees("news", "The kitchen closes at 2 pm.")
	ada.picture(picture(t, "chat"))

	// Where one may not go nothing is heard and nothing said.
	bob.click(`[data-room="staff"]`)
	bob.sees("fault", "This room is not open to you.")
	ada.sees("note", bobby+" has left")
	bob.press("Tab", 8)
	bob.click("#text")
	bob.typeText("let me in")
	bob.press("Enter", 0)
	bob.sees("fault", "Not connected: nothing was sent.")
	bob.screenshot(picture(t, "chat-not-welcome.png"))

	// One leaves for good; the other is told.
	eve.click(`[data-room="lobby"]`)
	eve.wantPeople("Ada; Eve (you)")
	eve.navigate("about:blank")
	ada.wantPeople("Ada (you)")
	for _, c := range []chatter{ada, bob} {
		c.wantFits()
		c.wantQuiet()
		var title string
		if c.eval("document.title", &title); title != "Chat" {
			t.Errorf("the title has become %q", title)
		}
	}
	ada.click("#sign-out")
	ada.waitFor(`document.querySelector("#why").textContent === "Signed out."`)
	ada.signIn("Grace")
	ada.click(`[data-room="staff"]`)
	ada.wantPeople("Grace (you)")

	// The server goes: the page says so and tries again on its own.
	d.kill()
	ada.waitFor(`document.querySelector("#state").textContent.startsWith("connection lost, back in ")`)
}

// picture writes what the page looks like on a desktop, on a phone and in the
// dark to files that begin so.
func (c chatter) picture(file string) {
	for _, shot := range []struct {
		name          string
		width, height int
		mobile, dark  bool
	}{{"desktop", 1000, 700, false, false}, {"dark", 1000, 700, false, true}, {"phone", 390, 844, true, false}, {"phone-dark", 390, 844, true, true}} {
		c.resize(shot.width, shot.height, shot.mobile, shot.dark)
		c.wantFits()
		c.eval("Promise.all(document.getAnimations().map(a => a.finished)).then(() => 0)", nil)
		c.screenshot(file + "-" + shot.name + ".png")
	}
	c.resize(1000, 800, false, false)
}

// TestChatPicture makes the README's picture: two windows side by side.
func TestChatPicture(t *testing.T) {
	d := startDemo(t)
	ada, bob := d.chat(), d.chat()
	ada.resize(600, 700, false, false)
	bob.resize(600, 700, false, true)
	ada.signIn("Ada")
	bob.signIn("Bob")
	ada.say("Is the new menu out?")
	bob.sees("other", "Is the new menu out?")
	bob.say("Yes. One moment, the kitchen's page will send it.")
	ada.sees("other", "Yes. One moment, the kitchen's page will send it.")
	bob.typeText("Today: pumpkin soup")
	bob.click("#push")
	ada.sees("other", "Today: pumpkin soup")
	found := demoAPI.FindStringSubmatch(strings.Join(d.log(), "\n"))
	if out, err := exec.Command(buildBinary(t), "push", "-api", found[1], "-channel", "chat/lobby", "The kitchen closes at 2 pm (said by cron)").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var both *image.RGBA
	for n, c := range []chatter{ada, bob} {
		c.sees("news", "The kitchen closes at 2 pm (said by cron)")
		file := filepath.Join(t.TempDir(), "window.png")
		c.screenshot(file)
		b, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		window, err := png.Decode(b)
		b.Close()
		if err != nil {
			t.Fatal(err)
		}
		const gap = 12
		size := window.Bounds().Size()
		if both == nil {
			both = image.NewRGBA(image.Rect(0, 0, 2*size.X+3*gap, size.Y+2*gap))
			draw.Draw(both, both.Bounds(), image.NewUniform(color.Gray{0x9a}), image.Point{}, draw.Src)
		}
		draw.Draw(both, window.Bounds().Add(image.Pt(gap+n*(size.X+gap), gap)), window, image.Point{}, draw.Src)
	}
	out, err := os.Create(picture(t, "chat.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(out, both); err != nil {
		t.Fatal(err)
	}
}

// TestChatRefuses: a program that says what the page never would gets into no
// room that is not its own, and is heard in none.
func TestChatRefuses(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	post := func(page, cookie, site string, fields url.Values) (status int, body, set string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+d.address+"/chat/"+page, strings.NewReader(fields.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", site)
		if cookie != "" {
			r.Header.Set("Cookie", cookie)
		}
		r.Close = true
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		b, _ := io.ReadAll(answer.Body)
		for _, c := range answer.Cookies() {
			set = c.Name + "=" + c.Value
		}
		return answer.StatusCode, string(b), set
	}
	signIn := func(name string) string {
		t.Helper()
		status, body, cookie := post("chat-login.php", "", "same-origin", url.Values{"name": {name}})
		if status != 204 || cookie == "" {
			t.Fatalf("signing in: %d %q", status, body)
		}
		return "Cookie: " + cookie
	}
	mallory, grace := signIn("Mallory"), signIn("grace")
	enter := func(query, cookie string) *client {
		t.Helper()
		return dial(t, handshake{address: d.address, path: "/chat/ws" + query, lines: []string{cookie}})
	}
	staff := enter("?room=staff", grace)
	if _, data, err := staff.message(); err != nil || !strings.HasPrefix(string(data), `{"came":"grace",`) || !strings.HasSuffix(string(data), `,"here":["grace"]}`) {
		t.Errorf("the staff's room greets with %q, %v", data, err)
	}

	for _, query := range []string{"?room=staff", "", "?room=", "?room[]=lobby", "?room=lobby/../staff", "?room=chat/staff", "?room=Staff", "?room=staff%00", "?room=lobby&room=staff"} {
		if reason := enter(query, mallory).wantClose(t, 4403); reason != "This room is not open to you." {
			t.Errorf("%s: closed for %q", query, reason)
		}
	}
	for _, cookie := range []string{"X: none", "Cookie: PHPSESSID=0123456789abcdef0123456789", mallory + "x"} {
		if reason := enter("?room=lobby", cookie).wantClose(t, 4401); reason != "Sign in first." {
			t.Errorf("%s: closed for %q", cookie, reason)
		}
	}
	session := strings.TrimPrefix(mallory, "Cookie: ")
	for _, test := range []struct{ name, cookie, site, room string }{
		{"a page for a room that is not one's own", session, "same-origin", "staff"},
		{"a page for no room", session, "same-origin", "lobby, chat/staff"},
		{"a page without a session", "", "same-origin", "lobby"},
		{"a page of another site", session, "cross-site", "lobby"},
	} {
		if status, body, _ := post("chat-push.php", test.cookie, test.site, url.Values{"room": {test.room}, "text": {"hi"}}); status != 403 {
			t.Errorf("%s: %d %q, want 403", test.name, status, body)
		}
	}
	if status, _, _ := post("chat-login.php", session, "cross-site", url.Values{"name": {""}}); status != 403 {
		t.Errorf("to sign out by another site's page: %d, want 403", status)
	}
	for _, name := range []string{strings.Repeat("x", 25), "a\nb", "\u202eevil", "\xff"} {
		if status, _, _ := post("chat-login.php", "", "same-origin", url.Values{"name": {name}}); status != 422 {
			t.Errorf("to sign in as %q: %d, want 422", name, status)
		}
	}

	for size, want := range map[int]int{64<<10 - 1: 422, 64 << 10: 422, 64<<10 + 1: 413} {
		if status, _, _ := post("chat-login.php", "", "same-origin", url.Values{"name": {strings.Repeat("x", size-len("name="))}}); status != want {
			t.Errorf("a form of %d bytes: %d, want %d", size, status, want)
		}
	}
	found := demoAPI.FindStringSubmatch(strings.Join(d.log(), "\n"))
	if info, err := os.Stat(strings.TrimPrefix(found[1], "unix:")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the control API's socket: %v, %v; want mode 0600", info, err)
	}

	lobby := enter("?room=lobby", mallory)
	lobby.message()
	for _, text := range []string{`{"room":"staff","text":"x"}`, "x; reply", "WS-Publish: chat/staff"} {
		lobby.text(text)
		if _, data, err := lobby.message(); err != nil || !strings.Contains(string(data), `"from":"Mallory"`) {
			t.Errorf("%s: %q, %v", text, data, err)
		}
	}
	// Of all that nothing has come to the staff: the next that they hear is this.
	if status, body, _ := post("chat-push.php", strings.TrimPrefix(grace, "Cookie: "), "same-origin", url.Values{"room": {"staff"}, "text": {"all quiet"}}); status != 200 || body != "delivered to 1" {
		t.Errorf("pushing to one's own room: %d %q", status, body)
	}
	if _, data, err := staff.message(); err != nil || !strings.Contains(string(data), `"text":"all quiet"`) {
		t.Errorf("the staff hear %q, %v", data, err)
	}

	// Who has signed out is in no room any more.
	if status, _, _ := post("chat-login.php", session, "same-origin", url.Values{"name": {""}}); status != 204 {
		t.Errorf("signing out: %d", status)
	}
	if reason := lobby.wantClose(t, 4401); reason != "Signed out." {
		t.Errorf("closed for %q", reason)
	}
	enter("?room=lobby", mallory).wantClose(t, 4401)
}

// TestChatCrowd: who is there is right after many came and went at once, and
// who was left over from another boot of the gateway is forgotten at start.
func TestChatCrowd(t *testing.T) {
	t.Parallel()
	sessions := publicDir(t)
	if err := os.Chmod(sessions, 0o777); err != nil {
		t.Fatal(err)
	}
	f := startWsFpm(t, "php_value[session.save_path] = "+sessions, "env[CHAT_DIR] = "+sessions)
	writeFile(t, sessions+"/sess_tester0", `name|s:3:"Ada";`)
	writeFile(t, sessions+"/ws-fpm-chat.json", `{"n":7,"here":{"00":{"name":"Gone","room":"lobby","boot":"of another start"}}}`)
	for _, name := range []string{"/sess_tester0", "/ws-fpm-chat.json"} {
		if err := os.Chmod(sessions+name, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	g := startGateway(t, f.config("", "/chat/ws examples/chat-ws.php\nevents = connect, message, disconnect"))
	state := func() string { b, _ := os.ReadFile(sessions + "/ws-fpm-chat.json"); return string(b) }
	eventually(t, 10*time.Second, "the other boot is forgotten", func() bool { return state() == `{"n":8,"here":[]}` })
	const crowd = 40
	done := make(chan *client, crowd)
	for range crowd {
		go func() {
			c, err := connect(g.at("/chat/ws?room=lobby", "Cookie: PHPSESSID=tester0"))
			if err != nil {
				t.Error(err)
			}
			done <- c
		}()
	}
	var all []*client
	for range crowd {
		if c := <-done; c != nil {
			defer c.conn.Close()
			all = append(all, c)
		}
	}
	if n := strings.Count(state(), `"room":"lobby"`); n != crowd || len(all) != crowd {
		t.Errorf("%d are written down of %d", n, len(all))
	}
	for _, c := range all {
		c.conn.Close()
	}
	eventually(t, 10*time.Second, "all have left", func() bool { return state() == `{"n":`+itoa(8+2*crowd)+`,"here":[]}` })
}
