package fpm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// sbin are the places of php-fpm that are often not in an ordinary user's
// PATH: the system's, Homebrew's, and those of the Remi repository.
var sbin = [...]string{
	"/usr/sbin", "/usr/local/sbin", "/sbin",
	"/opt/homebrew/sbin", "/opt/homebrew/opt/php*/sbin", "/usr/local/opt/php*/sbin",
	"/home/linuxbrew/.linuxbrew/sbin",
	"/opt/remi/php*/root/usr/sbin",
}

// versionTimeout bounds one run of php-fpm -v.
const versionTimeout = 5 * time.Second

// Find gives the php-fpm of the highest version on this system, and that
// version. It looks in PATH and in the usual places, under the names that
// systems give it: php-fpm, php-fpm8.4, php-fpm84, php8.4-fpm. Without one,
// the error is one line that says which package to install.
func Find(ctx context.Context) (path, version string, err error) {
	best, ok := newest(ctx, candidates(os.Getenv("PATH")))
	if !ok {
		release, _ := os.ReadFile("/etc/os-release") // absent: the hint is general
		return "", "", fmt.Errorf("fpm: no php-fpm found: %s", installHint(runtime.GOOS, string(release)))
	}
	return best.path, best.version.text, nil
}

type candidate struct {
	path    string
	version version
}

// newest asks each program for its version. Of two equal ones, the first wins.
func newest(ctx context.Context, paths []string) (best candidate, ok bool) {
	for _, path := range paths {
		v, isFPM := askVersion(ctx, path)
		if isFPM && (!ok || v.compare(best.version) > 0) {
			best, ok = candidate{path, v}, true
		}
	}
	return best, ok
}

func askVersion(ctx context.Context, path string) (version, bool) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "-v")
	cmd.Env = environment(os.TempDir())
	cmd.WaitDelay = time.Second // a child of it that holds the pipe
	out, err := cmd.Output()
	if err != nil {
		return version{}, false
	}
	return parseVersion(string(out))
}

// candidates gives the programs in the directories of path and of sbin that
// are named like php-fpm, each once however many links lead to it. A relative
// directory in path is left out: whoever owns the current one could plant it.
func candidates(path string) []string {
	var found []string
	seen := map[string]bool{}
	for _, pattern := range append(filepath.SplitList(path), sbin[:]...) {
		if !filepath.IsAbs(pattern) {
			continue
		}
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			continue // a bracket in PATH
		}
		for _, dir := range dirs {
			entries, err := os.ReadDir(dir)
			if err != nil {
				continue
			}
			for _, entry := range entries {
				file := filepath.Join(dir, entry.Name())
				if !namedLikeFPM(entry.Name()) || !executable(file) {
					continue
				}
				if real, err := filepath.EvalSymlinks(file); err == nil && !seen[real] {
					seen[real] = true
					found = append(found, file)
				}
			}
		}
	}
	return found
}

// namedLikeFPM accepts php-fpm, php-fpm8.4, php8.4-fpm and the like.
func namedLikeFPM(name string) bool {
	rest, ok := strings.CutPrefix(name, "php")
	if !ok {
		return false
	}
	before, after, ok := strings.Cut(rest, "-fpm")
	return ok && (before == "" || after == "") && strings.Trim(before+after, "0123456789.") == ""
}

func executable(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
