package websocket

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// inflated is the next message that the client gets, and whether it came
// deflated.
func (p *peer) inflated() (payload string, deflated bool) {
	p.t.Helper()
	var parts []string
	for {
		f, rsv1, err := readAnyFrame(p.in)
		if err != nil || f.op.control() || rsv1 && len(parts) > 0 {
			p.t.Fatalf("client got %v, RSV1 %t, %v; want a message", f, rsv1, err)
		}
		deflated = deflated || rsv1
		if parts = append(parts, f.payload); f.fin {
			break
		}
	}
	if payload = strings.Join(parts, ""); deflated {
		b, fault := inflate([]byte(payload), Binary, 64<<20)
		if fault != nil {
			p.t.Fatalf("client inflates: %v", fault)
		}
		payload = string(b)
	}
	return payload, deflated
}

// noise is n bytes that do not get shorter.
func noise(n int) string {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{7})
	r.Read(b)
	return string(b)
}

func TestConnDeflatesWhatIsWorthIt(t *testing.T) {
	for _, test := range []struct {
		name, payload string
		agreed        Deflate
		deflated      bool
		want          Stats // what of it is about deflating
	}{
		{"where it is not agreed on", strings.Repeat("a", 1000), noDeflate, false, Stats{}},
		{"a message of 255 bytes", strings.Repeat("a", minDeflate-1), deflate, false, Stats{DeflateSmall: 1}},
		{"a message of 256 bytes", strings.Repeat("a", minDeflate), deflate, true, Stats{Deflated: 1, Saved: 1}},
		{"an empty message", "", deflate, false, Stats{DeflateSmall: 1}},
		{"a message that gets no shorter", noise(1000), deflate, false, Stats{DeflateNoGain: 1}},
		{"a large message that gets no shorter", noise(300_000), deflate, false, Stats{DeflateNoGain: 1}},
		{"where the client has named the window", strings.Repeat("a", minDeflate), deflateWindow, true, Stats{Deflated: 1, Saved: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := open(t, piped, Options{})
			p := h.enter(Limits{Deflate: test.agreed, Fragment: 1 << 20})
			p.sendAside(Binary, []byte(test.payload))
			got, deflated := p.inflated()
			if got != test.payload || deflated != test.deflated {
				t.Errorf("%d bytes, deflated %t; want %d, %t", len(got), deflated, len(test.payload), test.deflated)
			}
			st := h.Stats()
			if st.Saved > 200 && st.Saved < minDeflate {
				st.Saved = 1 // how much it is depends on Go's release
			}
			if got := (Stats{Deflated: st.Deflated, Saved: st.Saved, DeflateSmall: st.DeflateSmall, DeflateNoGain: st.DeflateNoGain, DeflateBusy: st.DeflateBusy}); got != test.want {
				t.Errorf("counted %+v; want %+v", got, test.want)
			}
		})
	}
}

// The fragments of a message are of what it was deflated to; RSV1 is on the
// first.
func TestConnFragmentsWhatIsDeflated(t *testing.T) {
	h := open(t, piped, Options{})
	p := h.enter(Limits{Deflate: deflate, Fragment: 100})
	payload := jsonText(8 << 10)
	p.sendAside(Text, []byte(payload))
	var zip string
	for i := 0; ; i++ {
		f, rsv1, err := readAnyFrame(p.in)
		if err != nil || rsv1 != (i == 0) || (f.op == Text) != (i == 0) || len(f.payload) > 100 || len(f.payload) < 100 && !f.fin {
			t.Fatalf("frame %d: %v, RSV1 %t, %v", i, f, rsv1, err)
		}
		if zip += f.payload; f.fin {
			break
		}
	}
	if got, fault := inflate([]byte(zip), Text, 1<<20); string(got) != payload || fault != nil {
		t.Errorf("%d bytes, %v; want %d", len(got), fault, len(payload))
	}
}

func TestConnInflatesUpToMaxMessage(t *testing.T) {
	for _, size := range []int{1, 1000, inflateRoom - 1, inflateRoom, inflateRoom + 1, 300_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			h := open(t, piped, Options{})
			p := h.enter(Limits{Deflate: deflate, MaxMessage: int64(size)})
			got := make(chan string, 1)
			p.onMessage = func(_ Opcode, payload []byte) bool { got <- string(payload); return true }
			for _, payload := range []string{strings.Repeat("a", size), noise(size)} {
				p.write([]byte(reserved(4, frame(last, Binary, zipped(payload)))))
				if b := receive(t, got); b != payload {
					t.Errorf("handed on %d bytes, want %d", len(b), len(payload))
				}
			}
			if st := h.Stats(); st.Inflated != 2 || st.MessagesIn != 2 || st.BytesIn != uint64(2*size) {
				t.Errorf("counted %d inflated, %d messages, %d bytes", st.Inflated, st.MessagesIn, st.BytesIn)
			}
			p.write([]byte(reserved(4, frame(last, Binary, zipped(strings.Repeat("a", size+1))))))
			p.wantClose(StatusTooBig, "")
			if st := h.Stats(); st.InflateTooBig != 1 || st.InflateDamaged != 0 || st.Violations != 1 {
				t.Errorf("counted %+v", st)
			}
		})
	}
}

// Any compressor's worst for a message of max_message bytes is let in, and not
// much more.
func TestDecoderBoundsDeflatedMessages(t *testing.T) {
	for _, test := range []struct {
		max, length int64
		fits        bool
	}{
		{1, 64 + 1, true}, {1, 64 + 2, false},
		{1 << 20, 1<<20 + 1<<17 + 1<<14 + 64, true}, {1 << 20, 1<<20 + 1<<17 + 1<<14 + 65, false},
		{1<<63 - 1, 1<<63 - 1, true},
	} {
		head := appendHeader(nil, header{deflated: true, op: Binary, masked: true, length: uint64(test.length)})
		d := decoder{maxMessage: test.max, mayDeflate: true}
		if _, _, err := d.next(head); (err == nil) != test.fits || err != nil && code(err) != StatusTooBig {
			t.Errorf("max %d, %d bytes: %v; fits %t", test.max, test.length, err, test.fits)
		}
		d = decoder{maxMessage: test.max, mayDeflate: true} // in a sum
		d.next([]byte(reserved(4, frame(more, Binary, "a"))))
		head = appendHeader(nil, header{op: opContinuation, masked: true, length: uint64(test.length - 1)})
		if _, _, err := d.next(head); (err == nil) != test.fits {
			t.Errorf("max %d, 1 byte and %d: %v; fits %t", test.max, test.length-1, err, test.fits)
		}
	}
	d := decoder{maxMessage: 1000, mayDeflate: true} // what is not deflated has no more than before
	d.next([]byte(reserved(4, frame(last, Binary, "a"))))
	if _, _, err := d.next([]byte(frame(last, Binary, strings.Repeat("a", 1001)))); code(err) != StatusTooBig {
		t.Errorf("1001 bytes that are not deflated: %v", err)
	}
}

// While all places are taken messages go out as they are, and what comes in is
// inflated when there is a place.
func TestZipsAreBounded(t *testing.T) {
	h := open(t, piped, Options{})
	p := h.enter(Limits{Deflate: deflate})
	got := make(chan string, 1)
	p.onMessage = func(_ Opcode, payload []byte) bool { got <- string(payload); return true }
	if n := cap(h.deflating); n != 4*runtime.GOMAXPROCS(0) || cap(h.inflating) != n {
		t.Errorf("places for %d and %d", n, cap(h.inflating))
	}
	long := strings.Repeat("a", 1000)
	take := func(places chan struct{}, n int) {
		for range n {
			places <- struct{}{}
		}
	}
	take(h.deflating, cap(h.deflating)-1)
	p.sendAside(Text, []byte(long))
	if _, deflated := p.inflated(); !deflated || h.Stats().DeflateBusy != 0 {
		t.Errorf("with one place left: deflated %t, busy %d", deflated, h.Stats().DeflateBusy)
	}
	take(h.deflating, 1)
	p.sendAside(Text, []byte(long))
	if b, deflated := p.inflated(); b != long || deflated || h.Stats().DeflateBusy != 1 {
		t.Errorf("with no place left: deflated %t, busy %d", deflated, h.Stats().DeflateBusy)
	}
	<-h.deflating
	p.sendAside(Text, []byte(long))
	if _, deflated := p.inflated(); !deflated {
		t.Error("with a place again: not deflated")
	}

	take(h.inflating, cap(h.inflating))
	p.write([]byte(reserved(4, frame(last, Text, zipped(long)))))
	select {
	case b := <-got:
		t.Errorf("inflated %d bytes, though there was no place", len(b))
	default:
	}
	<-h.inflating
	if b := receive(t, got); b != long {
		t.Errorf("inflated %d bytes", len(b))
	}
}

// A message that is inflated is charged to the budget while the handler has it.
func TestInflatedMessagesAreCharged(t *testing.T) {
	h := open(t, piped, Options{Buffers: 1_200_000})
	p := h.enter(Limits{Deflate: deflate, MaxMessage: 4 << 20})
	held := make(chan int64, 1)
	p.onMessage = func(Opcode, []byte) bool { held <- h.Stats().Held; return true }
	p.write([]byte(reserved(4, frame(last, Binary, bomb(1<<20)))))
	if n := receive(t, held); n < 1<<20 || n > 1<<20+8<<10 {
		t.Errorf("%d bytes held while a message of 1 MiB is handed on", n)
	}
	// Over 95 % of the budget there is no room for it.
	p.write([]byte(reserved(4, frame(last, Binary, bomb(1_140_001)))))
	p.wantClose(StatusTryAgain, "overloaded")
	receive(t, p.shed)
	p.Conn.Close()
	receive(t, p.ended)
	if len(held) != 0 {
		t.Error("handed on all the same")
	}
	if n := h.Stats().Held; n != 0 {
		t.Errorf("%d bytes held at the end", n)
	}
}

// 64 KiB that hold 67 MB are refused with 1009 when max_message bytes have come
// out, for which no memory is made: the heap grows by less than a MiB for one,
// and for each of 500 at once.
func TestBombs(t *testing.T) {
	most := 500
	if raced {
		most = 50
	}
	wire := []byte(reserved(4, frame(last, Binary, bomb(67<<20))))
	if len(wire) < 64<<10 || len(wire) > 70<<10 {
		t.Errorf("a bomb of %d bytes", len(wire))
	}
	for _, m := range []mode{polled, blocking} {
		for _, n := range []int{1, most} {
			t.Run(fmt.Sprintf("%d %s", n, m.name), func(t *testing.T) { dropBombs(t, m, n, wire) })
		}
	}
}

func dropBombs(t *testing.T, m mode, n int, wire []byte) {
	h := open(t, m, Options{})
	var peers []*peer
	for range n {
		peers = append(peers, h.enter(Limits{Deflate: deflate}))
	}
	runtime.GC()
	before, peak, stop := heapNow(), uint64(0), make(chan struct{})
	var watch, all sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				peak = max(peak, heapNow())
				runtime.Gosched()
			}
		}
	})
	for _, p := range peers {
		all.Go(func() {
			p.Conn.Write(wire)
			p.wantClose(StatusTooBig, "")
			p.wantEOF()
			p.Conn.Close()
		})
	}
	all.Wait()
	close(stop)
	watch.Wait()
	for _, p := range peers {
		p.wantEnded(Closing{StatusTooBig, "", ByServer})
	}
	if st := h.Stats(); st.InflateTooBig != uint64(n) || st.Held != 0 {
		t.Errorf("%d bombs counted, %d bytes held", st.InflateTooBig, st.Held)
	}
	each := (int64(peak) - int64(before)) / int64(n)
	t.Logf("%d bombs of %d bytes: the heap grew by %d KiB for each", n, len(wire), each>>10)
	if each > 1<<20 {
		t.Errorf("%d bytes for each, want 1 MiB at most", each)
	}
}

func heapNow() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
