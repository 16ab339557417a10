package control

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Bounds of a token's length, in bytes.
const (
	minToken = 32
	maxToken = 4 << 10 // of the whole file
)

// LoadToken reads the file at path, which holds the token and nothing else but
// white space around it: 32 bytes or more of visible ASCII, the file at most
// 4 KiB.
//
// It has to be a regular file that only its owner can use, so 0600 or 0400. One
// exception: root's group may read it, for so systemd hands over a credential
// (LoadCredential=), which in truth one user can read by an access list.
func LoadToken(path string) (Token, error) {
	secret, err := readSecret(path)
	if err != nil {
		return Token{}, fmt.Errorf("control: token file %s: %w", path, err)
	}
	return sha256.Sum256(secret), nil
}

// ReadToken gives the token itself, for who is to show it. The file has to be
// as LoadToken wants it.
func ReadToken(path string) (secret string, err error) {
	b, err := readSecret(path)
	if err != nil {
		return "", fmt.Errorf("control: token file %s: %w", path, err)
	}
	return string(b), nil
}

func readSecret(path string) ([]byte, error) {
	// Not blocking: opening a pipe would wait for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, errors.Unwrap(err) // the path is said already
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkMode(info.Mode(), groupOf(info)); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxToken {
		return nil, fmt.Errorf("want at most %d bytes", maxToken)
	}
	b = bytes.TrimSpace(b)
	if len(b) < minToken {
		return nil, fmt.Errorf("want a token of %d bytes or more, such as openssl rand -hex 32 prints", minToken)
	}
	if bytes.ContainsFunc(b, func(r rune) bool { return r < '!' || r > '~' }) {
		return nil, errors.New("want one token of visible ASCII characters, without a space")
	}
	return b, nil
}

// checkMode refuses a file that others than its owner can use.
func checkMode(mode fs.FileMode, group uint32) error {
	others := mode.Perm() & 0o077
	switch {
	case !mode.IsRegular():
		return errors.New("want a regular file")
	case others == 0, others == 0o040 && group == 0:
		return nil
	}
	return fmt.Errorf("mode %04o lets others use it: want 0600", mode.Perm())
}

// groupOf gives the group that a file belongs to.
func groupOf(info fs.FileInfo) uint32 {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ^uint32(0) // nobody's
	}
	return stat.Gid
}

// matches reports whether secret is the one that t was made of. What is
// compared are sums, so the time it takes depends on the length of what the
// caller sent and on nothing of ours.
func (t Token) matches(secret string) bool {
	sum := sha256.Sum256([]byte(secret[:min(len(secret), maxToken+1)])) // no token is longer
	same := subtle.ConstantTimeCompare(sum[:], t[:]) == 1
	return same && !t.isZero()
}
