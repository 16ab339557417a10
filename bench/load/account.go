//go:build linux

package load

import (
	"syscall"
	"time"
)

// account closes all connections and then asks the server's counters what has
// become of each message: sent, or dropped. Those still waiting for a
// subscriber that did not read are dropped when it has gone. Before is how many
// were meant for clients when the measurement began.
func account(address string, l *loop, before uint64, r *Result) error {
	for _, c := range l.conns {
		if c.fd >= 0 {
			syscall.Close(c.fd)
			c.fd = -1
		}
	}
	deadline := time.Now().Add(grace)
	for {
		meant, settled, err := counters(address)
		if err != nil {
			return err
		}
		r.Meant, r.Unaccounted = meant-before, meant-settled
		if r.Unaccounted == 0 || time.Now().After(deadline) {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
}
