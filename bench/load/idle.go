//go:build linux

package load

import (
	"fmt"
	"time"

	"ws-fpm/bench/process"
)

// idle measures what connections cost that do nothing, and then what they cost
// once each of them has had a message.
func idle(s Settings) (Result, error) {
	r := Result{Mode: s.Mode, Conns: s.Conns, Size: s.Size}
	// A few connections first, so that what the server needs only once is there
	// before the first reading.
	few := s
	few.Conns, few.Threads = min(20, s.Conns), 1
	loops, err := connect(few)
	if err == nil {
		err = speak(loops, time.Second)
	}
	closeAll(loops)
	if err != nil {
		return r, err
	}
	before, err := memory(s.PID)
	if err != nil {
		return r, err
	}
	began := time.Now()
	if loops, err = connect(s); err != nil {
		return r, err
	}
	defer closeAll(loops)
	r.Opened = time.Since(began)
	if err := rest(loops, s.Wait); err != nil {
		return r, err
	}
	after, err := memory(s.PID)
	if err != nil {
		return r, err
	}
	r.Idle = float64(after.Private-before.Private) / float64(s.Conns)
	if s.Duration > 0 {
		// So slowly that not all of them are at work at once, which would measure
		// a crowd and not what one message leaves behind.
		if err := speak(loops, max(time.Duration(s.Conns)*200*time.Microsecond, time.Second)); err != nil {
			return r, err
		}
		if err := rest(loops, s.Duration); err != nil {
			return r, err
		}
		if after, err = memory(s.PID); err != nil {
			return r, err
		}
		r.After = float64(after.Private-before.Private) / float64(s.Conns)
	}
	for _, l := range loops {
		for _, c := range l.conns {
			r.Pings += c.pinged
		}
	}
	return r, nil
}

func memory(pid int) (process.Memory, error) {
	if pid == 0 {
		return process.Memory{}, nil
	}
	return process.MemoryOf(pid)
}

// speak sends one message on each connection, within so long, and waits for
// the answers.
func speak(loops []*loop, within time.Duration) error {
	began := time.Now()
	for _, l := range loops {
		l.echo, l.once, l.began, l.issued = true, true, began, 0
		l.rate = float64(len(l.conns)) / within.Seconds()
		// One turn, and the next would be due at the end.
		l.measureFrom, l.stopAt = 0, within
	}
	if err := runAll(loops); err != nil {
		return err
	}
	for _, l := range loops {
		for _, c := range l.conns {
			if c.seq != 1 {
				return fmt.Errorf("connection %d has sent %d messages, want 1", c.number, c.seq)
			}
		}
	}
	return nil
}

// rest only answers pings.
func rest(loops []*loop, wait time.Duration) error {
	began := time.Now()
	for _, l := range loops {
		l.echo, l.began, l.stopAt = false, began, wait
	}
	return runAll(loops)
}
