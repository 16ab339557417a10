//go:build !linux

package websocket

import (
	"net"
	"net/netip"
	"time"
)

// An acceptor does not exist here: nothing arrives in a loop.
type acceptor struct{ greeter Greeter }

func (*acceptor) forget(*Arrival) {}
func (*acceptor) sweep(int64)     {}
func (*acceptor) end()            {}
func (*acceptor) clear()          {}

// Listen fails, and l can be used in another way.
func (s *Server) Listen(l Listener, g Greeter, silence time.Duration) (end func(), failed <-chan error, err error) {
	return nil, nil, errNoPoller
}

// LocalAddr, Upgrade and Conn have no arrival to be called for.
func (a *Arrival) LocalAddr() netip.AddrPort         { return netip.AddrPort{} }
func (a *Arrival) Upgrade(h Handler, l Limits) *Conn { return nil }
func (a *Arrival) Conn() (net.Conn, error)           { return nil, errNoPoller }
