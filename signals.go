package main

import (
	"os"
	"os/signal"
	"syscall"
)

// Signals are what an administrator and a service manager say to the program.
// One that comes while it starts is heeded when it has.
type signals struct {
	dump chan os.Signal // SIGUSR1
	hup  chan os.Signal
	stop chan os.Signal // SIGTERM or SIGINT, and once more
}

func heedSignals() *signals {
	s := &signals{make(chan os.Signal, 1), make(chan os.Signal, 1), make(chan os.Signal, 2)}
	signal.Notify(s.dump, syscall.SIGUSR1)
	signal.Notify(s.hup, syscall.SIGHUP)
	signal.Notify(s.stop, syscall.SIGTERM, syscall.SIGINT)
	return s
}

func (s *signals) end() {
	signal.Stop(s.dump)
	signal.Stop(s.hup)
	signal.Stop(s.stop)
}
