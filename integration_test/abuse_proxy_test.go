package integration_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A fault is what a faultProxy does to one connection.
type fault struct {
	kind    string
	latency time.Duration // before each piece is passed on
	jitter  time.Duration // and up to so much more
	piece   int           // pieces are of so many bytes at most; zero: as they come
	rate    int           // bytes a second; zero: as fast as they come
	after   int           // bytes in one direction, after which end happens; zero: never
	end     string        // "cut": both sides see the end; "reset": an RST; "blackhole": nothing more is passed on
}

// swallowed is how long nothing is passed on, until the system notices.
var swallowed = time.Duration(scaled(1200, 6000)) * time.Millisecond

// faultKinds are the faults, each with figures of its own choosing.
var faultKinds = []func(*rand.Rand) fault{
	func(*rand.Rand) fault { return fault{kind: "none"} },
	func(r *rand.Rand) fault {
		return fault{kind: "latency", latency: time.Duration(r.IntN(50)) * time.Millisecond}
	},
	func(*rand.Rand) fault {
		return fault{kind: "jitter", latency: time.Millisecond, jitter: 40 * time.Millisecond}
	},
	func(*rand.Rand) fault { return fault{kind: "one byte at a time", piece: 1} },
	func(r *rand.Rand) fault { return fault{kind: "small pieces", piece: 1 + r.IntN(100)} },
	func(r *rand.Rand) fault { return fault{kind: "bandwidth", rate: 20_000 + r.IntN(200_000)} },
	func(r *rand.Rand) fault { return fault{kind: "cut", after: 1 + r.IntN(20_000), end: "cut"} },
	func(r *rand.Rand) fault { return fault{kind: "reset", after: 1 + r.IntN(20_000), end: "reset"} },
	func(r *rand.Rand) fault { return fault{kind: "blackhole", after: 1 + r.IntN(20_000), end: "blackhole"} },
}

// A faultProxy stands between two parties and spoils their connections.
type faultProxy struct {
	t       testing.TB
	l       net.Listener
	backend func() (net.Conn, error)
	choose  func(n int) fault // for the n-th connection
	work    sync.WaitGroup
	done    chan struct{}
	frozen  atomic.Bool // nothing is passed on any more
	thawed  chan struct{}

	mu    sync.Mutex // guards what follows
	conns map[net.Conn]bool
	kinds map[string]int
}

// startFaultProxy listens on an address of its own until t ends.
func startFaultProxy(t testing.TB, backend func() (net.Conn, error), choose func(n int) fault) *faultProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &faultProxy{t: t, l: l, backend: backend, choose: choose, done: make(chan struct{}), thawed: make(chan struct{}),
		conns: map[net.Conn]bool{}, kinds: map[string]int{}}
	p.work.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *faultProxy) address() string { return p.l.Addr().String() }

func (p *faultProxy) close() {
	select {
	case <-p.done:
		return
	default:
	}
	close(p.done)
	p.l.Close()
	p.mu.Lock()
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.work.Wait()
}

// freeze has the proxy pass nothing on any more, as if the cable were pulled.
func (p *faultProxy) freeze() { p.frozen.Store(true) }

func (p *faultProxy) accept() {
	for n := 0; ; n++ {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		f := p.choose(n)
		b, err := p.backend()
		if err != nil {
			c.Close()
			continue
		}
		p.mu.Lock()
		p.conns[c], p.conns[b] = true, true
		p.kinds[f.kind]++
		p.mu.Unlock()
		p.work.Go(func() { p.carry(c, b, f) })
	}
}

// carry passes bytes on, both ways, until one of the two ends or the fault has
// it end.
func (p *faultProxy) carry(a, b net.Conn, f fault) {
	var ways sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		ways.Go(func() { p.pump(way[1], way[0], f) })
	}
	ways.Wait()
	a.Close()
	b.Close()
	p.mu.Lock()
	delete(p.conns, a)
	delete(p.conns, b)
	p.mu.Unlock()
}

func (p *faultProxy) pump(to, from net.Conn, f fault) {
	buf := make([]byte, 32<<10)
	passed := 0
	for {
		n, err := from.Read(buf)
		for rest := buf[:n]; len(rest) > 0; {
			if p.frozen.Load() {
				<-p.done
				return
			}
			size := len(rest)
			if f.piece > 0 && passed < 4000 { // enough to have cut everything that is told apart
				size = min(size, f.piece)
			}
			if f.after > 0 {
				size = min(size, f.after-passed)
			}
			if f.rate > 0 {
				size = min(size, f.rate/50+1)
				p.wait(time.Duration(size) * time.Second / time.Duration(f.rate))
			}
			if f.latency > 0 {
				p.wait(f.latency + time.Duration(rand.Int64N(int64(f.jitter)+1)))
			}
			if _, err := to.Write(rest[:size]); err != nil {
				from.Close()
				return
			}
			rest = rest[size:]
			if passed += size; f.after > 0 && passed >= f.after {
				p.finish(to, from, f.end)
				return
			}
		}
		switch {
		case err == io.EOF:
			if half, ok := to.(interface{ CloseWrite() error }); ok {
				half.CloseWrite()
			}
			return
		case err != nil:
			to.Close()
			return
		}
	}
}

// finish ends a connection as a fault wants it.
func (p *faultProxy) finish(to, from net.Conn, how string) {
	if how == "blackhole" {
		p.wait(swallowed)
	}
	for _, c := range []net.Conn{to, from} {
		if tcp, ok := c.(*net.TCPConn); ok && how == "reset" {
			tcp.SetLinger(0)
		}
	}
	to.Close()
	from.Close()
}

// wait waits, or until the proxy is closed.
func (p *faultProxy) wait(d time.Duration) {
	select {
	case <-p.done:
	case <-time.After(d):
	}
}

// said lists how many connections had which fault.
func (p *faultProxy) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprint(p.kinds)
}

// TestFaultProxy: each fault does what its name says.
func TestFaultProxy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() { l.Close(); serving.Wait() })
	serving.Go(func() { // an echo
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { io.Copy(c, c); c.Close() })
		}
	})
	for _, test := range []struct {
		f     fault
		want  int           // bytes of 100 that come back
		least time.Duration // that takes
		reset bool
	}{
		{fault{kind: "none"}, 100, 0, false},
		{fault{kind: "latency", latency: 50 * time.Millisecond}, 100, 100 * time.Millisecond, false},
		{fault{kind: "one byte at a time", piece: 1}, 100, 0, false},
		{fault{kind: "bandwidth", rate: 1000}, 100, 100 * time.Millisecond, false},
		{fault{kind: "cut", after: 60, end: "cut"}, -60, 0, false}, // at most: what comes back is on its way
		{fault{kind: "reset", after: 60, end: "reset"}, -60, 0, true},
		{fault{kind: "blackhole", after: 60, end: "blackhole"}, -60, swallowed - 100*time.Millisecond, false},
	} {
		t.Run(test.f.kind, func(t *testing.T) {
			t.Parallel()
			p := startFaultProxy(t, func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }, func(int) fault { return test.f })
			c, err := net.Dial("tcp", p.address())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			begun := time.Now()
			c.SetDeadline(begun.Add(clientTimeout))
			c.Write(make([]byte, 100))
			if test.want == 100 {
				c.(*net.TCPConn).CloseWrite()
			}
			got, err := io.ReadAll(c)
			if len(got) != test.want && (test.want > 0 || len(got) > -test.want) || (err != nil) != test.reset {
				t.Errorf("%d bytes came back, %v; want %d", len(got), err, test.want)
			}
			if took := time.Since(begun); took < test.least {
				t.Errorf("it took %v, want at least %v", took, test.least)
			}
		})
	}
}
