package fpm

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
)

// supervise keeps a php-fpm running until the phase is stopping. It stays on
// one thread, for some systems end php-fpm with the thread that started it.
func (s *Server) supervise() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(s.done)
	defer s.clean()
	var wait backoff
	for {
		begin := time.Now()
		err := s.runOnce()
		if !s.survives(err) {
			return
		}
		delay := wait.next(time.Since(begin))
		s.log.Error("php-fpm ended and is started again", "cause", err, "delay", delay)
		select {
		case <-s.stop:
			return
		case <-time.After(delay):
		}
		s.countRestart()
	}
}

// runOnce starts php-fpm and returns when it has ended, and why.
func (s *Server) runOnce() error {
	s.removeSocket()
	c, err := s.spawn()
	if err != nil {
		return err
	}
	s.log.Debug("php-fpm started", "pid", c.cmd.Process.Pid)
	if s.adopt(c) == stopping {
		c.signal(syscall.SIGTERM) // Stop came too early to find it
	}
	err = c.wait()
	s.adopt(nil)
	return err
}

// survives reports whether php-fpm is to be started again now that it ended
// with err.
func (s *Server) survives(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.phase {
	case starting:
		s.phase = stopping
		s.err = fmt.Errorf("fpm: running %s: %w", s.binary, err)
		close(s.stop)
		return false
	case running:
		return true
	case stopping:
		return false
	}
	panic("BUG: a phase that does not exist")
}

// advance moves to a later phase and reports whether it did.
func (s *Server) advance(to phase) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if to <= s.phase {
		return false
	}
	s.phase = to
	switch to {
	case running:
		s.served = true
	case stopping:
		close(s.stop)
	}
	return true
}

// adopt makes c the child that signals go to.
func (s *Server) adopt(c *child) phase {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.child = c
	return s.phase
}

func (s *Server) countRestart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restarts++
}

func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	c := s.child
	s.mu.Unlock()
	if c != nil {
		c.signal(sig)
	}
}

// removeSocket removes the socket that a killed master leaves, if it is ours:
// one that is there before our php-fpm ever served may be somebody else's.
func (s *Server) removeSocket() {
	s.mu.Lock()
	ours := s.served && s.network == "unix"
	s.mu.Unlock()
	if ours {
		os.Remove(s.address)
	}
}

// clean removes what php-fpm leaves when it is killed, and what we made.
func (s *Server) clean() {
	s.removeSocket()
	if err := os.RemoveAll(s.dir); err != nil {
		s.log.Warn("removing php-fpm's directory", "cause", err)
	}
}
