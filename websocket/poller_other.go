//go:build !linux

package websocket

import "syscall"

const readable, writable = 1, 2

// A poller does not exist here: a goroutine waits for each connection.
type poller struct{}

func newPoller() (*poller, error) { return nil, nil }

func (*poller) watch(_ *descriptor, _ ticket, was, next uint32) error { return errNoPoller }
func (*poller) watchGuest(_ syscall.RawConn, _ ticket, was, next uint32) error {
	return errNoPoller
}
func (*poller) wait(bool) (int, error)              { return 0, errNoPoller }
func (*poller) each(int, func(ticket, uint32) bool) {}
func (*poller) close()                              {}
