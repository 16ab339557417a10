package integration_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// running counts the scripts that run, by the files of wsfpm_mark.php.
func (f *phpFPM) running() int {
	marks, _ := filepath.Glob(f.file("var/runs.*"))
	return len(marks)
}

// startMarked is startWsFpm with wsfpm_mark.php before each script.
func startMarked(t testing.TB) *phpFPM {
	// The pool cannot name its own directory before it has one.
	dir := publicDir(t)
	f := startWsFpm(t, "php_value[auto_prepend_file] = "+dir+"/mark.php")
	mark, err := os.ReadFile("testdata/wsfpm_mark.php")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir+"/mark.php", strings.Replace(string(mark), "__DIR__", "'"+f.dir+"'", 1))
	return f
}

// word is a message of examples/stream.php.
type word struct {
	N             int
	Word          string
	Done, Stopped bool
}

func (c *client) word(t testing.TB) (w word) {
	t.Helper()
	_, data, err := c.message()
	if err == nil {
		err = json.Unmarshal(data, &w)
	}
	if err != nil {
		t.Fatalf("got %q, %v; want a word", data, err)
	}
	return w
}

// TestStreamExample: words come while the script runs; "stop" is answered at
// once and ends the script at its next write; without it the stream is whole.
func TestStreamExample(t *testing.T) {
	t.Parallel()
	f := startMarked(t)
	g := startGateway(t, f.config("", "/ws examples/stream.php"))
	c := dial(t, g.at("/ws"))
	c.text("what")
	if w := c.word(t); w.Word != "You" {
		t.Errorf("the first word is %+v", w)
	}
	if n := f.running(); n != 1 {
		t.Errorf("%d scripts run when the first word is here, want 1", n)
	}
	c.word(t)
	c.text("stop")
	words := 2
	for w := c.word(t); !w.Stopped; w = c.word(t) {
		if words++; words > 5 || w.Done {
			t.Fatalf("after stop came %+v", w)
		}
	}
	// The next write is at most 200 ms away; the whole would take 3 s.
	eventually(t, time.Second, "the stopped script has ended", func() bool { return f.running() == 0 })
	c.wantSilence(t, 300*time.Millisecond)

	c.text("what")
	words = 0
	for w := c.word(t); !w.Done; w = c.word(t) {
		if w.N != words {
			t.Fatalf("word %d is %+v", words, w)
		}
		words++
	}
	if words != 16 {
		t.Errorf("%d words, want 16", words)
	}
}

// TestStreamExamplePage: the same with a button.
func TestStreamExamplePage(t *testing.T) {
	f := startMarked(t)
	g := startGateway(t, f.config("", "/ws examples/stream.php"))
	b := startBrowser(t)
	b.navigate(website(t, f, g).URL + "/stream.html")
	b.waitFor("ws.readyState === 1")
	b.click("#ask button")
	b.waitFor("$('answer').textContent.split(' ').length > 3")
	b.click("#stop")
	b.waitFor("$('answer').textContent.includes('(stopped)')")
	b.screenshot(picture(t, "stream-stopped.png"))
	if got := b.text("#answer"); !strings.HasPrefix(got, "You asked: ") || strings.Contains(got, "done") {
		t.Errorf("the page shows %q", got)
	}
	eventually(t, time.Second, "the stopped script has ended", func() bool { return f.running() == 0 })
	b.wantQuiet()
}

// number reads a file of wsfpm_flood.php; 0 if it is not there or just being
// written.
func (f *phpFPM) number(name string) int {
	b, _ := os.ReadFile(f.file("var/" + name))
	n, _ := strconv.Atoi(string(b))
	return n
}

// TestStreamBackpressure: a client that does not read stops PHP in its write,
// which goes on when the client does; when it leaves, the generator is ended
// in good order.
func TestStreamBackpressure(t *testing.T) {
	t.Parallel()
	f := startWsFpm(t)
	g := startGateway(t, f.config("", "/ws wsfpm_flood.php"))
	c := dial(t, g.at("/ws"))
	c.text("go")
	if _, data, err := c.message(); err != nil || !strings.HasPrefix(string(data), "1 ") {
		t.Fatalf("the first message is %.20q, %v", data, err)
	}
	stalled := 0
	still := func() bool {
		was := f.number("count")
		pause(300 * time.Millisecond)
		stalled = f.number("count")
		return was > 0 && was == stalled
	}
	eventually(t, 8*time.Second, "PHP makes no progress", still)
	// Two sockets and 64 KiB; the kernel lets a loopback socket grow to a few MiB.
	if size := stalled * 8192; size > 12<<20 {
		t.Errorf("PHP had written %d bytes when it stood still", size)
	}
	blockedInWrite(t, f.number("pid"))
	t.Logf("PHP stood still after %d KiB", stalled*8)

	for n := 2; n <= stalled+10; n++ {
		if _, data, err := c.message(); err != nil || len(data) != 8192 || !strings.HasPrefix(string(data), itoa(n)+" ") {
			t.Fatalf("message %d is %d bytes %.20q, %v", n, len(data), data, err)
		}
	}
	eventually(t, 5*time.Second, "PHP goes on", func() bool { return f.number("count") > stalled })
	c.conn.Close()
	eventually(t, 5*time.Second, "the generator's finally block has run", func() bool { return f.number("ended") > 0 })
	eventually(t, 5*time.Second, "the script has gone on after it", func() bool { return f.number("after") == 1 })
	eventually(t, 5*time.Second, "its worker is free", f.drained)
}

// blockedInWrite fails t unless a process sleeps and takes no time and, where
// the kernel tells, sleeps in write.
func blockedInWrite(t testing.TB, pid int) {
	t.Helper()
	stat := func() (state string, ticks string) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		return fields[0], fields[11] + " " + fields[12]
	}
	_, before := stat()
	pause(200 * time.Millisecond)
	if state, after := stat(); state != "S" || before != after {
		t.Errorf("PHP is %s and has used %s ticks, and %s before; want a sleeper", state, after, before)
	}
	write := map[string]string{"amd64": "1", "arm64": "64"}[runtime.GOARCH]
	call, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", pid))
	if err != nil || write == "" {
		t.Logf("the system call is not known: %v", err)
	} else if number, _, _ := strings.Cut(string(call), " "); number != write {
		t.Errorf("PHP is in system call %q, want write, %s", call, write)
	}
}
