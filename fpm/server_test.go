package fpm

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestServerRunsScripts(t *testing.T) {
	for _, test := range []struct {
		name string
		o    Options
	}{
		{"nothing said", Options{}},
		{"TCP", Options{Listen: "127.0.0.1:0"}},
		{"workers when there is work", Options{Pool: []string{"pm = ondemand"}}},
		{"a directory with a space and a semicolon", Options{Dir: oddDir(t)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := start(t, test.o)
			if got := run(t, s, `<?php echo "pid ", posix_getpgid(getmypid());`); !strings.Contains(got, "pid ") {
				t.Errorf("the script printed %q", got)
			}
			if s.Pid() == 0 || s.Restarts() != 0 {
				t.Errorf("Pid = %d, Restarts = %d", s.Pid(), s.Restarts())
			}
		})
	}
}

func oddDir(t *testing.T) string {
	dir := filepath.Join(publicDir(t), "a b;c")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestServerConfiguresPHP(t *testing.T) {
	s := start(t, Options{Pool: []string{
		"php_admin_value[memory_limit] = 77M", "env[COLOUR] = blue", "pm = dynamic", "pm.start_servers = 1",
		"pm.min_spare_servers = 1", "pm.max_spare_servers = 2",
	}})
	got := run(t, s, `<?php
		session_start();
		$tmp = tempnam(sys_get_temp_dir(), 'x');
		echo json_encode([
			'limit' => ini_get('memory_limit'), 'colour' => getenv('COLOUR'), 'path' => getenv('PATH'),
			'display' => ini_get('display_errors'), 'save' => session_save_path(), 'tmp' => dirname($tmp),
			'root' => posix_geteuid() === 0, 'ours' => is_readable(dirname(session_save_path()) . '/fpm.conf'),
		], JSON_UNESCAPED_SLASHES);`)
	tmp := filepath.Join(s.Dir(), tmpDir)
	ours := "false" // the configuration is readable for its owner alone
	if os.Geteuid() != 0 {
		ours = "true"
	}
	want := `{"limit":"77M","colour":"blue","path":false,"display":"","save":"` + tmp + `","tmp":"` + tmp + `","root":false,"ours":` + ours + `}`
	if !strings.HasSuffix(got, want) && !strings.HasSuffix(got, strings.Replace(want, `"display":""`, `"display":"0"`, 1)) {
		t.Errorf("the script printed\n%s\nwant\n%s", got, want)
	}
}

func TestServerLetsNobodyElseIn(t *testing.T) {
	s := start(t, Options{})
	_, socket := s.Addr()
	for path, want := range map[string]os.FileMode{
		socket:                             0o600,
		filepath.Join(s.Dir(), configFile): 0o600,
		filepath.Join(s.Dir(), tmpDir):     0o700,
	} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want mode %v", path, info.Mode(), err, want)
		}
	}
}

func TestServerLogsWhatPHPSays(t *testing.T) {
	var log syncBuffer
	s := start(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	run(t, s, `<?php fwrite(fopen('php://stderr', 'w'), "something to say\n");`)
	if !soon(func() bool { return strings.Contains(log.String(), `msg="php-fpm: something to say"`) }) {
		t.Errorf("log = %q", log.String())
	}
}

// A start that can't succeed says why, with php-fpm's words, and leaves nothing.
func TestStartErrors(t *testing.T) {
	binary := requireFPM(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	mute := writeProgram(t, filepath.Join(publicDir(t), "php-fpm"), "exec sleep 60")
	for _, test := range []struct {
		name, want string
		o          Options
	}{
		{"a process manager that does not exist", "exit status 78: ", Options{Pool: []string{"pm = sometimes"}}},
		{"a directive that does not exist", "unknown entry 'colour'", Options{Pool: []string{"colour = blue"}}},
		{"a port that is taken", "something listens at", Options{Listen: taken.Addr().String()}},
		{"a directory that is not there", "no such file", Options{Dir: "/nowhere"}},
		{"a directory that is a file", "not a directory", Options{Dir: binary}},
		{"a directory that the configuration can't name", "can't be written", Options{Dir: dollarDir(t)}},
		{"a socket whose path is too long", "at most", Options{Listen: "/" + strings.Repeat("x", 120)}},
		{"a binary that is not there", "no such file", Options{Binary: "/nowhere/php-fpm"}},
		{"a binary that is something else", "exit status 1", Options{Binary: "/bin/false"}},
		{"a binary that ends well", "exit status 0", Options{Binary: "/bin/true"}},
		{"options out of range", "Children is -1", Options{Children: -1}},
		{"nobody's patience", "deadline exceeded", Options{Binary: mute}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.o.Dir == "" {
				test.o.Dir = publicDir(t)
			}
			before, _ := os.ReadDir(test.o.Dir)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			s, err := Start(ctx, test.o)
			if s != nil || !strings.HasPrefix(errorText(err), "fpm: ") || !strings.Contains(errorText(err), test.want) || strings.Contains(errorText(err), "\n") {
				t.Errorf("Start = %v, %v; want one line with %q", s, err, test.want)
			}
			if after, _ := os.ReadDir(test.o.Dir); len(after) != len(before) {
				t.Errorf("%d entries in %s after a start that failed, %d before", len(after), test.o.Dir, len(before))
			}
		})
	}
}

func dollarDir(t *testing.T) string {
	dir := filepath.Join(publicDir(t), "$a")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Two servers with the same socket: the second one fails, the first serves on.
func TestSecondServerOnASocket(t *testing.T) {
	socket := filepath.Join(publicDir(t), "s")
	first := start(t, Options{Listen: socket})
	second, err := Start(t.Context(), Options{Listen: socket})
	if second != nil || !strings.Contains(errorText(err), "something listens at") {
		t.Errorf("the second Start = %v, %v", second, err)
	}
	if got := run(t, first, `<?php echo "still here";`); !strings.Contains(got, "still here") {
		t.Errorf("the first server answers %q", got)
	}
}

func TestServersSideBySide(t *testing.T) {
	dir := publicDir(t)
	one, two := start(t, Options{Dir: dir}), start(t, Options{Dir: dir})
	for _, s := range []*Server{one, two} {
		if got := run(t, s, `<?php echo "here";`); !strings.Contains(got, "here") {
			t.Errorf("a server answers %q", got)
		}
	}
}

func TestStopLetsScriptsFinish(t *testing.T) {
	s := start(t, Options{})
	pid := s.Pid()
	answer := background(t, s, 500)
	s.Stop(t.Context())
	if got := <-answer; !strings.HasSuffix(got, "finished") {
		t.Errorf("the script that ran when Stop was called printed %q", got)
	}
	checkNothingLeft(t, s, pid)
	s.Stop(t.Context()) // a second one does nothing
}

func TestStopDoesNotOutstayItsContext(t *testing.T) {
	s := start(t, Options{})
	answer := background(t, s, 60_000)
	begin := time.Now()
	stopNow(t, s)
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("Stop took %v with an ended context", d)
	}
	if got := <-answer; strings.HasSuffix(got, "finished") {
		t.Errorf("the script printed %q", got)
	}
}

func TestStopDoesNotOutstayItsGrace(t *testing.T) {
	s := start(t, Options{Grace: time.Second})
	pid := s.Pid()
	answer := background(t, s, 60_000)
	begin := time.Now()
	s.Stop(t.Context())
	if d := time.Since(begin); d < time.Second || d > 6*time.Second {
		t.Errorf("Stop took %v with a grace of 1s", d)
	}
	<-answer
	checkNothingLeft(t, s, pid)
}

// A master that heeds no signal but SIGKILL leaves its socket, here outside
// the server's own directory, and does not keep to the grace by itself.
func TestStopOfAStoppedMaster(t *testing.T) {
	s := start(t, Options{Grace: time.Second, Listen: filepath.Join(publicDir(t), "s")})
	pid := s.Pid()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s.Stop(t.Context())
	if d := time.Since(begin); d < time.Second || d > 10*time.Second {
		t.Errorf("Stop took %v with a grace of 1s", d)
	}
	checkNothingLeft(t, s, pid)
}

// background starts a script that takes some milliseconds and returns when
// it runs; the channel gives what it printed.
func background(t *testing.T, s *Server, ms int) <-chan string {
	t.Helper()
	mark := filepath.Join(publicDir(t), "mark")
	file := script(t, `<?php 
		touch('`+mark+`');
		$end = microtime(true) + `+strconv.Itoa(ms)+` / 1000;
		while (microtime(true) < $end) usleep(10000); // a signal cuts one short
		echo 'finished';`)
	network, address := s.Addr()
	answer := make(chan string, 1)
	go func() { answer <- call(network, address, file) }()
	if !soon(func() bool { _, err := os.Stat(mark); return err == nil }) {
		t.Fatal("the script does not run")
	}
	return answer
}
