// Package fpm runs a php-fpm of our own as a supervised child.
//
// It finds php-fpm, writes a configuration for it, starts it, starts it again
// when it dies, and stops it without leaving a process or a file behind. The
// php-fpm of a production site is the init system's to run, not ours.
package fpm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	startTimeout = 10 * time.Second       // until the first answer
	quitMargin   = time.Second            // beyond Grace, for php-fpm to keep to it
	termTimeout  = 500 * time.Millisecond // from SIGTERM to SIGKILL
)

var errEnded = errors.New("exit status 0")

// phase is where a server is in its life. It only moves forward.
type phase int

const (
	starting phase = iota // no worker has answered yet: an end is a failure
	running               // an end is an accident: php-fpm is started again
	stopping              // an end is what we wait for
)

// Server is a php-fpm and its supervisor. Its methods may be called from
// several goroutines at once.
type Server struct {
	binary, dir      string
	network, address string
	grace            time.Duration
	uid              int // of the workers
	log              *slog.Logger

	stop chan struct{} // closed when the phase becomes stopping
	done chan struct{} // closed when nothing is left of the server

	mu       sync.Mutex // guards what follows
	phase    phase
	served   bool   // the phase was running once
	child    *child // nil between two
	restarts int
	err      error // why it could not start; set before done is closed
}

// Start runs a php-fpm and returns when a worker of it has answered, which
// takes some 20 ms. Until then ctx and a limit of 10 s apply; after that only
// Stop ends it. On an error, which carries what php-fpm said, nothing is left
// running.
func Start(ctx context.Context, o Options) (*Server, error) {
	s, err := prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	go s.supervise()

	answer, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	answered := make(chan error, 1)
	go func() { answered <- ready(answer, s.network, s.address) }()
	select {
	case <-s.done:
		cancel()
		<-answered
		return nil, s.err
	case err = <-answered:
	}
	if err == nil && s.advance(running) {
		return s, nil
	}
	s.halt()
	if err == nil { // it answered, and died before we could say so
		return nil, s.err
	}
	if cause := context.Cause(ctx); cause != nil {
		return nil, fmt.Errorf("fpm: waiting for php-fpm: %w", cause)
	}
	return nil, fmt.Errorf("fpm: php-fpm does not answer after %v: %w", startTimeout, err)
}

// prepare makes everything that php-fpm needs to be started.
func prepare(ctx context.Context, o Options) (s *Server, err error) {
	if o, err = o.withDefaults(); err != nil {
		return nil, err
	}
	if o.Binary == "" {
		if o.Binary, _, err = Find(ctx); err != nil {
			return nil, err
		}
	}
	as, err := workers(os.Geteuid(), o.User)
	if err != nil {
		return nil, err
	}
	if o.Dir == "" {
		o.Dir = parentDir()
	}
	s = &Server{
		binary: o.Binary,
		grace:  o.Grace,
		log:    o.Log,
		stop:   make(chan struct{}),
		done:   make(chan struct{}),
	}
	if s.dir, err = makeDir(o.Dir, as); err != nil {
		return nil, err
	}
	if s.uid = os.Geteuid(); as.name != "" {
		s.uid = as.uid
	}
	err = s.configure(o, as)
	if err == nil {
		err = s.checkFree(ctx)
	}
	if err != nil {
		os.RemoveAll(s.dir)
		return nil, err
	}
	return s, nil
}

func (s *Server) configure(o Options, as account) (err error) {
	if s.network, s.address, err = listenAddress(o.Listen, s.dir); err != nil {
		return err
	}
	group := ""
	if as.name != "" {
		group = strconv.Itoa(as.gid)
	}
	text, err := configText(settings{
		address:     s.address,
		tmp:         filepath.Join(s.dir, tmpDir),
		user:        as.name,
		group:       group,
		children:    o.Children,
		maxRequests: o.MaxRequests,
		grace:       int(o.Grace / time.Second),
		global:      o.Global,
		pool:        o.Pool,
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.dir, configFile), []byte(text), 0o600); err != nil {
		return fmt.Errorf("fpm: writing the configuration: %w", err)
	}
	return nil
}

// checkFree makes sure that nobody listens at our address yet. php-fpm would
// say so too, but only after the other's answer was taken for its own.
func (s *Server) checkFree(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, s.network, s.address)
	if err != nil {
		return nil
	}
	conn.Close()
	return fmt.Errorf("fpm: something listens at %s already", s.address)
}

// Addr gives where php-fpm accepts connections, as net.Dial takes it.
func (s *Server) Addr() (network, address string) { return s.network, s.address }

// Dir gives the server's directory, which is removed when it stops. The
// workers can read what others may read in it.
func (s *Server) Dir() string { return s.dir }

// UID gives the user whom the workers run as.
func (s *Server) UID() int { return s.uid }

// Pid gives the process id of the master, which is also its process group's.
// It is zero while there is none.
func (s *Server) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child == nil {
		return 0
	}
	return s.child.cmd.Process.Pid
}

// Restarts gives how often php-fpm was started again after it had ended.
func (s *Server) Restarts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.restarts
}

// Done is closed when the server has stopped and nothing is left of it.
func (s *Server) Done() <-chan struct{} { return s.done }

// Stop ends php-fpm and returns when no process, socket or directory of it is
// left. Scripts that run may finish until ctx ends or Grace is over, whichever
// is first; then they are terminated, and killed half a second later. Idle
// connections are best closed before, for php-fpm waits for them as well.
func (s *Server) Stop(ctx context.Context) {
	s.advance(stopping)
	s.signal(syscall.SIGQUIT)
	ctx, cancel := context.WithTimeout(ctx, s.grace+quitMargin)
	defer cancel()
	select {
	case <-s.done:
	case <-ctx.Done():
		s.halt()
	}
}

// halt ends php-fpm without waiting for its scripts.
func (s *Server) halt() {
	s.advance(stopping)
	s.signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(termTimeout):
		s.signal(syscall.SIGKILL) // the supervisor kills the rest of the group
		<-s.done
	}
}
