package websocket

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A turmoil is a connection among many to which everything happens at random.
// Its client numbers its messages; the handler sees that none is lost, doubled
// or out of order, and sends them back, now and then with a pause.
type turmoil struct {
	*peer
	next int // the number expected
}

func (u *turmoil) message(op Opcode, payload []byte) bool {
	number, _, _ := strings.Cut(string(payload), " ")
	if n, err := strconv.Atoi(number); err != nil || n != u.next {
		u.t.Errorf("message %.20q came when %d was to come", payload, u.next)
	}
	u.next++
	u.send(op, payload)
	held := rand.IntN(1000)
	u.c.Hold(held)
	defer u.c.Hold(-held)
	switch rand.IntN(10) {
	case 0, 1:
		go u.c.Resume() // about when the pause begins
		return false
	case 2:
		time.AfterFunc(time.Duration(rand.IntN(2000))*time.Microsecond, u.c.Resume)
		return false
	}
	return true
}

// talk is what the client says, and how it goes.
func (u *turmoil) talk(seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range 10 + r.IntN(40) {
		size := r.IntN(300)
		if r.IntN(30) == 0 {
			size = r.IntN(70_000)
		}
		wire := clientFrame(Text, fmt.Sprint(i, " ")+strings.Repeat("x", size))
		if r.IntN(5) == 0 {
			wire = append(wire, clientFrame(opPing, "p")...)
		}
		for _, part := range chop(wire, 1+len(wire)/8+r.IntN(len(wire))) {
			if _, err := u.Conn.Write(part); err != nil {
				return
			}
		}
	}
	switch r.IntN(5) {
	case 0:
		if nc, ok := u.Conn.(*net.TCPConn); ok {
			nc.SetLinger(0)
		}
		u.Conn.Close()
	case 1:
		u.Conn.Write([]byte{0xff, 0xff})
	case 2:
		u.c.Close(4000, "")
	case 3:
		u.c.Kill()
	default:
		u.Conn.Write(clientClose(StatusNormal, ""))
	}
}

// TestServerInTurmoil lets the books be checked after everything at once.
func TestServerInTurmoil(t *testing.T) {
	eachMode(t, func(t *testing.T, m mode) {
		h := open(t, m, Options{Buffers: 20 << 20})
		var clients sync.WaitGroup
		for i := range 200 {
			u := &turmoil{peer: h.visit(Limits{Outbox: 200_000, Fragment: 10_000})}
			u.onMessage = u.message
			u.c.Start(nil)
			clients.Go(func() {
				defer u.Conn.Close()
				if i%20 == 0 { // reads nothing for a while
					<-time.After(time.Duration(rand.IntN(300)) * time.Millisecond)
				}
				for {
					if f, err := u.tryRead(); err != nil || f.op == opClose {
						return
					}
				}
			})
			clients.Go(func() { u.talk(uint64(i)) })
			clients.Go(func() { // others send, too
				for range 10 {
					u.send(Binary, make([]byte, rand.IntN(20_000)))
					<-time.After(time.Duration(rand.IntN(1000)) * time.Microsecond)
				}
			})
		}
		clients.Wait()
		for _, p := range h.peers {
			p.c.Resume()
			receive(t, p.ended)
		}
		eventually(t, "nothing is held", func() bool { return h.Stats().Held == 0 && h.Stats().Open == 0 })
		t.Logf("%+v", h.Stats())
	})
}
