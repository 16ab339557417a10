package websocket

import (
	"net"
	"slices"
	"syscall"
	"testing"
	"time"
)

func TestTicketIsGoodForOneTenantOnly(t *testing.T) {
	var table table
	a, b, c := new(Conn), new(Conn), new(Conn)
	ka, kb := table.add(a), table.add(b)
	table.remove(ka)
	kc := table.add(c)
	if kc.slot != ka.slot {
		t.Fatalf("the free slot %d was not used again, but %d", ka.slot, kc.slot)
	}
	for _, test := range []struct {
		name string
		k    ticket
		want tenant
	}{
		{"the ticket of one that has gone", ka, nil},
		{"that of its slot's next tenant", kc, c},
		{"that of a neighbour", kb, b},
		{"one from a later time", ticket{kb.slot, kb.generation + 1}, nil},
		{"one for a slot that never was", ticket{99, 0}, nil},
	} {
		if got := table.find(test.k); got != test.want {
			t.Errorf("%s finds %v, want %v", test.name, got, test.want)
		}
	}
	if n := table.len(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
	table.remove(kb)
	table.remove(kc)
	if n := table.len(); n != 0 {
		t.Errorf("%d connections, want none", n)
	}
}

// The kernel has reported a socket when it is closed, and the next client gets
// its descriptor and its slot: the report must not reach that client.
func TestPollerReportsNoNewTenantForAnOldOne(t *testing.T) {
	p, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	old, oldServer := tcpPair(t)
	defer old.Close()
	stale := ticket{slot: 7, generation: 1}
	oldSocket := descriptorOf(t, oldServer)
	if err := p.watch(oldSocket, stale, 0, readable); err != nil {
		t.Fatal(err)
	}
	old.Write([]byte("x"))
	if err := waitEach(p, func(got ticket, can uint32) bool {
		if got != stale || can != readable {
			t.Errorf("reported %v for %#x, want %v, readable", got, can, stale)
		}
		oldSocket.Close() // within the batch
		return true
	}); err != nil {
		t.Fatal(err)
	}
	next, nextServer := tcpPair(t)
	defer next.Close()
	defer nextServer.Close()
	tenant := descriptorOf(t, nextServer)
	defer func() { tenant.Close() }()
	if tenant.fd != oldSocket.fd { // else the kernel has given it out again by itself
		if err := syscall.Dup3(int(tenant.fd), int(oldSocket.fd), syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		tenant.Close()
		tenant = &descriptor{fd: oldSocket.fd}
	}
	fresh := ticket{slot: 7, generation: 2}
	if err := p.watch(tenant, fresh, 0, readable); err != nil {
		t.Fatal(err)
	}
	next.Write([]byte("y"))
	if err := waitEach(p, func(got ticket, _ uint32) bool {
		if got != fresh {
			t.Errorf("reported %v, want %v", got, fresh)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
}

// waitEach waits, and calls ready for each socket that is reported.
func waitEach(p *poller, ready func(t ticket, can uint32) bool) error {
	n, err := p.wait(true)
	if err == nil {
		p.each(n, ready)
	}
	return err
}

func descriptorOf(t *testing.T, nc net.Conn) *descriptor {
	t.Helper()
	d := new(descriptor)
	if !d.take(nc) {
		t.Fatal("a socket that cannot be taken")
	}
	return d
}

// Sockets that have bytes are reported until they are read, those that have
// none and those not watched any more are not.
func TestPollerIsLevelTriggered(t *testing.T) {
	p, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	var sockets [3]*descriptor
	for i := range sockets {
		client, server := tcpPair(t)
		defer client.Close()
		sockets[i] = descriptorOf(t, server)
		defer sockets[i].Close()
		if err := p.watch(sockets[i], ticket{slot: uint32(i)}, 0, readable); err != nil {
			t.Fatal(err)
		}
		if i != 1 {
			client.Write([]byte("x"))
		}
	}
	if err := p.watch(sockets[2], ticket{slot: 2}, readable, 0); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		var got []uint32
		waitEach(p, func(k ticket, _ uint32) bool { got = append(got, k.slot); return true })
		if len(got) != 1 || got[0] != 0 {
			t.Fatalf("reported %v, want 0 alone", got)
		}
	}
	if n, err := sockets[0].tryRead(make([]byte, 9)); n != 1 || err != nil {
		t.Fatalf("read %d, %v", n, err)
	}
	if n, err := sockets[0].tryRead(make([]byte, 9)); n != 0 || err != errAgain {
		t.Fatalf("read %d, %v; want %v", n, err, errAgain)
	}
	done := make(chan error, 1)
	go func() {
		done <- waitEach(p, func(k ticket, _ uint32) bool { t.Errorf("%v reported, nothing to read", k); return true })
	}()
	select {
	case err := <-done:
		t.Errorf("wait returned %v though nothing can be read", err)
	case <-time.After(50 * time.Millisecond):
	}
	p.close()
	if err := receive(t, done); err == nil {
		t.Error("wait on a closed poller gave no error")
	}
}

// guestSocket gives a socket that is somebody else's, and its other end.
func guestSocket(t *testing.T) (client net.Conn, raw syscall.RawConn) {
	t.Helper()
	client, server := tcpPair(t)
	t.Cleanup(func() { client.Close(); server.Close() })
	raw, err := server.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	return client, raw
}

// A guest that can be read does not wait for all the others that can.
func TestPollerServesGuestsBetweenOthers(t *testing.T) {
	p, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	const others, guest = 40, 1000
	for i := range others {
		client, server := tcpPair(t)
		defer client.Close()
		d := descriptorOf(t, server)
		defer d.Close()
		if err := p.watch(d, ticket{slot: uint32(i)}, 0, readable); err != nil {
			t.Fatal(err)
		}
		client.Write([]byte("x"))
	}
	client, raw := guestSocket(t)
	if err := p.watchGuest(raw, ticket{slot: guest}, 0, readable); err != nil {
		t.Fatal(err)
	}
	client.Write([]byte("x")) // the last of all
	round := func(serves bool) (order []uint32) {
		waitEach(p, func(k ticket, can uint32) bool {
			if k.slot == guest && can&readable == 0 {
				t.Error("a guest is reported that cannot be read")
			}
			order = append(order, k.slot)
			return serves
		})
		return order
	}
	order := round(true)
	first, times := slices.Index(order, guest), 0
	for _, slot := range order {
		if slot == guest {
			times++
		}
	}
	if first < 0 || first >= guestsEvery || times != others/guestsEvery+1 {
		t.Errorf("the guest comes first at %d, %d times; want before %d, %d times", first, times, guestsEvery, others/guestsEvery+1)
	}
	if order := round(false); len(order) != others+1 {
		t.Errorf("of %d reports nobody is served, and %d are made: guests were looked for in between", others+1, len(order))
	}
	if err := p.watchGuest(raw, ticket{slot: guest}, readable, 0); err != nil {
		t.Fatal(err)
	}
	if order := round(true); len(order) != others || slices.Contains(order, guest) {
		t.Errorf("when it is watched no more, %d are reported, %v", len(order), order)
	}
}

// After the end of a connection its descriptor belongs to somebody else:
// nothing done to the old one may touch it.
func TestConnNeverTouchesItsDescriptorAfterTheEnd(t *testing.T) {
	h := open(t, polled, Options{Loops: 1})
	for range 20 {
		old := h.enter(Limits{})
		fd := int(old.c.fd.fd)
		old.c.Kill()
		receive(t, old.ended)

		// Not a connection of the server, so that nobody else reads it.
		two, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		mine, other := two[0], two[1]
		if mine != fd {
			mine, other = other, mine
		}
		if mine == fd {
			syscall.Write(other, []byte("for the tenant"))
			old.send(Text, []byte("x"))
			old.c.Close(StatusNormal, "")
			old.c.sock().tryWrite([]byte("x"))
			old.c.sock().tryRead(make([]byte, 99))
			old.c.sock().closeWrite()
			old.c.loop.poll.watch(&old.c.fd, old.c.ticket, 0, readable)
			old.c.loop.poll.watch(&old.c.fd, old.c.ticket, readable, 0)
			old.c.Start(nil)
			old.c.Resume()
			old.c.Kill()
			b := make([]byte, 99)
			if n, err := syscall.Read(mine, b); string(b[:max(n, 0)]) != "for the tenant" {
				t.Errorf("the next tenant read %q, %v", b[:max(n, 0)], err)
			}
			if n, err := syscall.Read(other, b); err != syscall.EAGAIN {
				t.Errorf("the next tenant's peer read %q, %v; want nothing", b[:max(n, 0)], err)
			}
		}
		syscall.Close(two[0])
		syscall.Close(two[1])
	}
}

func TestConnMayBeKilledAndClosedInEachCallback(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(c *Conn)
	}{
		{"Kill", (*Conn).Kill},
		{"Close", func(c *Conn) { c.Close(4000, "") }},
		{"Close and Kill", func(c *Conn) { c.Close(4000, ""); c.Kill() }},
		{"Resume", (*Conn).Resume},
	} {
		for _, in := range []string{"Message", "Fail", "Shed", "Ended"} {
			t.Run(test.name+" in "+in, func(t *testing.T) {
				eachMode(t, func(t *testing.T, m mode) {
					p := open(t, m, Options{Buffers: 1000}).visit(Limits{})
					switch in {
					case "Message":
						p.onMessage = func(Opcode, []byte) bool { test.do(p.c); return false }
					case "Fail":
						p.onFail = func(*ProtocolError) { test.do(p.c); p.c.Close(StatusProtocolError, "") }
					case "Shed":
						p.onShed = func() { p.c.Hold(-1001); test.do(p.c) }
					case "Ended":
						p.onEnded = func() { test.do(p.c); p.send(Text, nil) }
					}
					p.c.Start(nil)
					go readOn(p)
					p.write(clientFrame(Text, "x"), clientFrame(Text, "y"))
					switch in {
					case "Fail":
						p.Conn.Write([]byte{0xff, 0xff})
						receive(t, p.fails)
					case "Shed":
						p.c.Hold(1001)
						receive(t, p.shed)
					case "Message":
						p.c.Resume()
					}
					p.Conn.Close()
					eventually(t, "it ends", func() bool { p.c.Resume(); return len(p.ended) == 1 })
				})
			})
		}
	}
}
