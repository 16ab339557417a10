//go:build !linux

package websocket

import (
	"errors"
	"syscall"
)

// A poller does not exist here: a goroutine waits for each connection.
type poller struct{}

var errNoPoller = errors.New("websocket: no poller on this system")

func newPoller() (*poller, error) { return nil, nil }

func (*poller) add(syscall.RawConn, ticket) error { return errNoPoller }
func (*poller) remove(syscall.RawConn) error      { return errNoPoller }
func (*poller) wait(func(ticket)) error           { return errNoPoller }
func (*poller) close()                            {}
