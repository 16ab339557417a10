package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"ws-fpm/config"
)

// maxExposure is what systemd-analyze security may find in the unit, in tenths:
// 0 is a service that can do nothing, 92 one without any restriction.
const maxExposure = 15

func TestUnitIsHardened(t *testing.T) {
	tool := systemdTool(t, "systemd-analyze")
	exposure := func(file string) (output string, ok bool) {
		out, err := exec.CommandContext(t.Context(), tool, "security", "--no-pager", "--offline=true",
			"--threshold="+strconv.Itoa(maxExposure), file).CombinedOutput()
		return string(out), err == nil
	}
	if out, ok := exposure("deploy/ws-fpm.service"); !ok {
		t.Errorf("systemd-analyze security: want an exposure of at most 1.5:\n%s", out)
	}
	// The same without its protections, to see that the tool judges.
	var bare strings.Builder
	for line := range strings.Lines(readFile(t, "deploy/ws-fpm.service")) {
		if !strings.HasPrefix(line, "Protect") {
			bare.WriteString(line)
		}
	}
	file := filepath.Join(t.TempDir(), "ws-fpm.service")
	writeFile(t, file, bare.String())
	if out, ok := exposure(file); ok {
		t.Errorf("systemd-analyze security is content with a unit that protects nothing:\n%s", out)
	}
}

func TestUnitsAreValid(t *testing.T) {
	tool := systemdTool(t, "systemd-analyze")
	verify := func(t *testing.T, service, socket string) (output string) {
		dir := t.TempDir()
		program := filepath.Join(dir, "ws-fpm")
		writeFile(t, program, "#!/bin/sh\n")
		if err := os.Chmod(program, 0o755); err != nil {
			t.Fatal(err)
		}
		files := []string{filepath.Join(dir, "ws-fpm.service"), filepath.Join(dir, "ws-fpm.socket")}
		writeFile(t, files[0], strings.NewReplacer("/usr/local/bin/ws-fpm", program, "/bin/kill", program).Replace(service))
		writeFile(t, files[1], socket)
		out, err := exec.CommandContext(t.Context(), tool, append([]string{"verify", "--man=no"}, files...)...).CombinedOutput()
		if err != nil {
			return err.Error() + "\n" + string(out)
		}
		return string(out)
	}
	service, socket := readFile(t, "deploy/ws-fpm.service"), readFile(t, "deploy/ws-fpm.socket")
	if out := verify(t, service, socket); out != "" {
		t.Errorf("systemd-analyze verify says\n%s", out)
	}
	for _, wrong := range []struct{ of, with string }{
		{"Type=notify\n", "Type=notfy\n"},
		{"WatchdogSec=30", "WatchdogSecs=30"},
		{"ExecStart=", "ExecStart=/nowhere"},
	} {
		if out := verify(t, strings.Replace(service, wrong.of, wrong.with, 1), socket); out == "" {
			t.Errorf("systemd-analyze verify says nothing of %s", wrong.with)
		}
	}
}

// What the units promise has to fit the program's defaults.
func TestUnitsFitTheProgram(t *testing.T) {
	defaults := map[string]string{}
	for _, k := range config.Reference() {
		if k.Section == "" {
			defaults[k.Key] = k.Default
		}
	}
	service, socket := settings(t, "deploy/ws-fpm.service"), settings(t, "deploy/ws-fpm.socket")

	drain, err := time.ParseDuration(defaults["drain"])
	if err != nil {
		t.Fatal(err)
	}
	stop, err := time.ParseDuration(service["TimeoutStopSec"] + "s")
	if err != nil || stop < drain+5*time.Second {
		t.Errorf("TimeoutStopSec=%s, %v; want at least drain, %v, and 5s", service["TimeoutStopSec"], err, drain)
	}
	connections, err := strconv.Atoi(defaults["max_connections"])
	if err != nil {
		t.Fatal(err)
	}
	files, err := strconv.Atoi(service["LimitNOFILE"])
	if err != nil || files < connections+reserve {
		t.Errorf("LimitNOFILE=%s, %v; want at least max_connections and a reserve, %d", service["LimitNOFILE"], err, connections+reserve)
	}
	if got, want := service["RestartPreventExitStatus"], strconv.Itoa(exitUsage); got != want {
		t.Errorf("RestartPreventExitStatus=%s; want %s, which a bad configuration gives", got, want)
	}
	if got, want := socket["ListenStream"], defaults["listen"]; got != want {
		t.Errorf("ListenStream=%s; want %s, as without the socket unit", got, want)
	}
	for key, want := range map[string]string{"Type": "notify", "WatchdogSec": "30"} {
		if service[key] != want {
			t.Errorf("%s=%s; want %s", key, service[key], want)
		}
	}
}

// settings reads a unit's settings, the last of each name.
func settings(t *testing.T, file string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(readFile(t, file)) {
		if key, value, found := strings.Cut(strings.TrimSuffix(line, "\n"), "="); found && !strings.HasPrefix(line, "#") {
			values[key] = value
		}
	}
	return values
}

func readFile(t *testing.T, name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func writeFile(t *testing.T, name, text string) {
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
