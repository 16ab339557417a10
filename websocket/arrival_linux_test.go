package websocket

import (
	"io"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
)

// A doorkeeper is a Greeter that echoes on what it upgrades. Its functions may
// be set before it is used; by default everybody may stay and is upgraded.
type doorkeeper struct {
	t       *testing.T
	arrived func(a *Arrival) bool
	greet   func(a *Arrival, first []byte)
	left    chan netip.AddrPort
	failed  func(error) (time.Duration, bool)
	ended   chan Closing
}

func (d *doorkeeper) Arrived(a *Arrival) bool {
	return d.arrived == nil || d.arrived(a)
}

func (d *doorkeeper) Greet(a *Arrival, first []byte) {
	if d.greet != nil {
		d.greet(a, first)
		return
	}
	d.upgrade(a, first)
}

func (d *doorkeeper) upgrade(a *Arrival, first []byte) {
	p := &peer{t: d.t, ended: make(chan Closing, 1)}
	p.onEnded = func() { d.ended <- <-p.ended }
	p.c = a.Upgrade(p, Limits{})
	p.c.Start(first)
}

func (d *doorkeeper) Left(a *Arrival) { d.left <- a.RemoteAddr() }

func (d *doorkeeper) AcceptFailed(err error) (time.Duration, bool) { return d.failed(err) }

// receiveAt has a new server listen, with d at the door.
func receiveAt(t *testing.T, d *doorkeeper, silence time.Duration, multipath ...bool) (s *Server, address string, end func(), failed <-chan error) {
	t.Helper()
	d.t, d.left, d.ended = t, make(chan netip.AddrPort, 100), make(chan Closing, 100)
	var lc net.ListenConfig
	lc.SetMultipathTCP(slices.Contains(multipath, true))
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err = NewServer(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); l.Close() })
	end, failed, err = s.Listen(l.(Listener), d, silence)
	if err != nil {
		t.Fatal(err)
	}
	return s, l.Addr().String(), end, failed
}

func knock(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

func TestArrivalsAreUpgraded(t *testing.T) {
	d := new(doorkeeper)
	s, address, _, _ := receiveAt(t, d, time.Minute)
	var clients []net.Conn
	for range 50 {
		clients = append(clients, knock(t, address))
	}
	if n := s.Stats().Open; n != 0 {
		t.Errorf("%d connections are open before anybody has spoken", n)
	}
	for _, c := range clients {
		c.Write(clientFrame(Text, "hello"))
	}
	for _, c := range clients {
		b := make([]byte, 7)
		if _, err := io.ReadFull(c, b); err != nil || string(b) != "\x81\x05hello" {
			t.Fatalf("got %q, %v", b, err)
		}
	}
	if n := s.Stats().Open; n != len(clients) {
		t.Errorf("%d connections are open, want %d", n, len(clients))
	}
	for _, c := range clients {
		c.Close()
		receive(t, d.ended)
	}
	if n := s.Stats().Open; n != 0 {
		t.Errorf("%d connections are open, want none", n)
	}
}

func TestArrivalKnowsItsAddresses(t *testing.T) {
	type addresses struct{ local, remote string }
	got := make(chan addresses, 1)
	d := &doorkeeper{greet: func(a *Arrival, _ []byte) {
		got <- addresses{a.LocalAddr().String(), a.RemoteAddr().String()}
		a.Close()
	}}
	_, address, _, _ := receiveAt(t, d, time.Minute)
	c := knock(t, address)
	c.Write([]byte("x"))
	want := addresses{c.RemoteAddr().String(), c.LocalAddr().String()}
	if a := receive(t, got); a != want {
		t.Errorf("it came from %v, want %v", a, want)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("a closed arrival: read %d, %v", n, err)
	}
}

// One that says nothing is closed when its time is up, and so is nobody else.
func TestArrivalsThatAreSilent(t *testing.T) {
	d := new(doorkeeper)
	_, address, _, _ := receiveAt(t, d, 300*time.Millisecond)
	speaker := knock(t, address)
	speaker.Write(clientFrame(Text, "x"))
	began := time.Now()
	silent := knock(t, address)
	if n, err := silent.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the silent one got %d bytes, %v; want the end", n, err)
	}
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("it was closed after %v", took)
	}
	if from := receive(t, d.left); from.String() != silent.LocalAddr().String() {
		t.Errorf("%v has left, want %v", from, silent.LocalAddr())
	}
	b := make([]byte, 3)
	if _, err := io.ReadFull(speaker, b); err != nil {
		t.Errorf("the one that spoke: %v", err)
	}
}

func TestArrivalsThatLeave(t *testing.T) {
	d := new(doorkeeper)
	_, address, _, _ := receiveAt(t, d, time.Minute)
	c := knock(t, address)
	c.Close()
	if from := receive(t, d.left); from.String() != c.LocalAddr().String() {
		t.Errorf("%v has left, want %v", from, c.LocalAddr())
	}
}

func TestArrivalsThatMayNotStay(t *testing.T) {
	d := &doorkeeper{arrived: func(*Arrival) bool { return false }}
	_, address, _, _ := receiveAt(t, d, time.Minute)
	if n, err := knock(t, address).Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("got %d bytes, %v; want the end", n, err)
	}
	if len(d.left) > 0 {
		t.Error("it was said of one that may not stay that it has left")
	}
}

// A socket that is given away is the new owner's alone.
func TestArrivalIsGivenAway(t *testing.T) {
	given := make(chan net.Conn, 1)
	d := &doorkeeper{greet: func(a *Arrival, first []byte) {
		nc, err := a.Conn()
		if err != nil {
			t.Error(err)
		}
		given <- nc
	}}
	s, address, _, _ := receiveAt(t, d, 300*time.Millisecond)
	c := knock(t, address)
	c.Write([]byte("first"))
	nc := receive(t, given)
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	c.Write([]byte("second"))
	b := make([]byte, 6)
	if _, err := io.ReadFull(nc, b); string(b) != "second" {
		t.Fatalf("the new owner read %q, %v", b, err)
	}
	s.Close() // and what it clears away
	if _, err := nc.Write([]byte("x")); err != nil {
		t.Errorf("the new owner's write: %v", err)
	}
	if _, err := io.ReadFull(c, b[:1]); err != nil {
		t.Errorf("what it wrote did not come: %v", err)
	}
}

// After the end nobody is accepted, and who has arrived may still speak.
func TestListenEnds(t *testing.T) {
	seen := make(chan struct{}, 9)
	d := &doorkeeper{arrived: func(*Arrival) bool { seen <- struct{}{}; return true }}
	_, address, end, _ := receiveAt(t, d, time.Minute)
	c := knock(t, address)
	receive(t, seen)
	end()
	end()
	c.Write(clientFrame(Text, "x"))
	b := make([]byte, 3)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Errorf("who had arrived: %v", err)
	}
	knock(t, address) // the kernel lets it in, for the listener itself is open
	select {
	case <-seen:
		t.Error("somebody was accepted after the end")
	case <-time.After(50 * time.Millisecond):
	}
}

// An error of accept that passes is waited for; another ends accepting.
func TestListenSurvives(t *testing.T) {
	for _, test := range []struct {
		name  string
		fatal bool
	}{
		{"an error that passes", false},
		{"one that does not", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			told := make(chan error, 100)
			d := new(doorkeeper)
			d.failed = func(err error) (time.Duration, bool) {
				told <- err
				return time.Millisecond, test.fatal
			}
			s, address, _, failed := receiveAt(t, d, time.Minute)
			s.mu.Lock()
			a := s.acceptors[0]
			s.mu.Unlock()
			a.rest(syscall.EMFILE)
			if err := receive(t, told); err != syscall.EMFILE {
				t.Errorf("told of %v, want %v", err, syscall.EMFILE)
			}
			c := knock(t, address)
			c.Write(clientFrame(Text, "x"))
			if test.fatal {
				if err := receive(t, failed); err != syscall.EMFILE {
					t.Errorf("ended with %v, want %v", err, syscall.EMFILE)
				}
				return
			}
			if _, err := io.ReadFull(c, make([]byte, 3)); err != nil {
				t.Errorf("nobody is accepted any more: %v", err)
			}
		})
	}
}

// The server's end closes whoever is still at the door.
func TestServerClosesArrivals(t *testing.T) {
	seen := make(chan struct{}, 9)
	d := &doorkeeper{arrived: func(*Arrival) bool { seen <- struct{}{}; return true }}
	s, address, _, _ := receiveAt(t, d, time.Minute)
	c := knock(t, address)
	receive(t, seen)
	s.Close()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("got %d bytes, %v; want the end", n, err)
	}
	receive(t, d.left)
}

func TestArrivalPanicCostsThatClientOnly(t *testing.T) {
	d := new(doorkeeper)
	d.greet = func(a *Arrival, first []byte) {
		if first[0] == 'x' {
			panic("greeting")
		}
		d.upgrade(a, first)
	}
	s, address, _, _ := receiveAt(t, d, time.Minute)
	bad, good := knock(t, address), knock(t, address)
	bad.Write([]byte("x"))
	if n, err := bad.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("got %d bytes, %v; want the end", n, err)
	}
	good.Write(clientFrame(Text, "x"))
	if _, err := io.ReadFull(good, make([]byte, 3)); err != nil {
		t.Errorf("another client: %v", err)
	}
	if n := s.Stats().Panics; n != 1 {
		t.Errorf("%d panics are counted, want 1", n)
	}
}

// Who has spoken before it is accepted is greeted there and then, without being
// waited for. Whatever comes of that, it is told of once.
func TestArrivalsThatHaveSpoken(t *testing.T) {
	for _, test := range []struct {
		name    string
		before  func(c net.Conn) // it is accepted
		after   func(c net.Conn)
		panics  bool
		watched uint32 // when it is greeted
		left    bool   // without a word
	}{
		{name: "before", before: func(c net.Conn) { c.Write([]byte("x")) }},
		{name: "afterwards", after: func(c net.Conn) { c.Write([]byte("x")) }, watched: readable},
		{name: "never, for it has gone", before: func(c net.Conn) { c.Close() }, left: true},
		{name: "before, and the greeter panics", before: func(c net.Conn) { c.Write([]byte("x")) }, panics: true},
		{name: "afterwards, and the greeter panics", after: func(c net.Conn) { c.Write([]byte("x")) }, watched: readable, panics: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			c := knock(t, l.Addr().String())
			if test.before != nil {
				test.before(c)
			}
			panicked := make(chan struct{}, 9)
			s, err := NewServer(Options{OnPanic: func(any, []byte) { panicked <- struct{}{} }})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			arrived, greeted := make(chan struct{}, 9), make(chan uint32, 9)
			d := &doorkeeper{t: t, left: make(chan netip.AddrPort, 9)}
			d.arrived = func(*Arrival) bool { arrived <- struct{}{}; return true }
			d.greet = func(a *Arrival, _ []byte) {
				greeted <- a.watched
				if test.panics {
					panic("greeting")
				}
				a.Close()
			}
			if _, _, err := s.Listen(l.(Listener), d, time.Minute); err != nil {
				t.Fatal(err)
			}
			receive(t, arrived)
			if test.after != nil {
				// Accepted, so read before: it is waited for as soon as it is in the list.
				for a := s.acceptors[0]; a.waiting.head() == nil; {
					runtime.Gosched()
				}
				test.after(c)
			}
			if test.left {
				receive(t, d.left)
			} else if watched := receive(t, greeted); watched != test.watched {
				t.Errorf("watched for %d, want %d", watched, test.watched)
			}
			if test.panics {
				receive(t, panicked)
			}
			if !test.left {
				if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
					t.Errorf("the client got %d bytes, %v; want the end", n, err)
				}
			}
			s.Close()
			if len(greeted)+len(d.left)+len(panicked)+len(arrived) != 0 {
				t.Error("it is told of twice")
			}
			if n := s.loops[0].table.len(); n != 0 || s.acceptors[0].waiting.head() != nil {
				t.Error("it is still there")
			}
		})
	}
}

// Who was waited for at the door is waited for no more while its handler, or a
// limit, has it not be read: what it goes on sending would be reported again and
// again, and a loop that has nothing to do would never rest.
func TestArrivalThatIsNotReadAtOnce(t *testing.T) {
	var three []byte
	for range 3 {
		three = append(three, clientFrame(Text, "x")...)
	}
	for _, test := range []struct {
		name  string
		first []byte
		more  bool // the handler wants more messages
		state readerState
	}{
		{"its handler has enough", clientFrame(Text, "x"), false, paused},
		{"it sends more than it may", three, true, throttled},
		{"it breaks the protocol, and is owed an answer", []byte("xxxx"), true, paused},
	} {
		t.Run(test.name, func(t *testing.T) {
			type what struct {
				state   readerState
				watched uint32
			}
			got := make(chan what, 1)
			d := new(doorkeeper)
			d.greet = func(a *Arrival, first []byte) {
				p := &peer{t: t, fails: make(chan *ProtocolError, 1), ended: make(chan Closing, 1)}
				p.onMessage = func(Opcode, []byte) bool { return test.more }
				p.onFail = func(*ProtocolError) {}
				p.c = a.Upgrade(p, Limits{MessageRate: 1})
				p.c.Start(first)
				p.c.mu.Lock()
				got <- what{readerState(p.c.reader.Load()), p.c.watched}
				p.c.mu.Unlock()
			}
			s, address, _, _ := receiveAt(t, d, time.Minute)
			client := knock(t, address)
			eventually(t, "it is waited for", func() bool {
				a := s.acceptors[0].waiting.head()
				return a != nil && a.owner.Load() == arrivalWaits
			})
			client.Write(test.first)
			if w := receive(t, got); w != (what{test.state, 0}) {
				t.Errorf("its reader is in state %d, and it is watched for %d; want state %d, not watched", w.state, w.watched, test.state)
			}
		})
	}
}
