package integration_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestAbuseFaults: connections of clients and of php-fpm that are slow, sliced,
// cut, reset and swallowed at random. What is answered is right and ran once,
// what failed ran at most once, and the books balance.
func TestAbuseFaults(t *testing.T) {
	lasts := time.Duration(scaled(4, 300)) * time.Second
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	var mu sync.Mutex // guards random
	choose := func(int) fault {
		mu.Lock()
		defer mu.Unlock()
		return faultKinds[random.IntN(len(faultKinds))](random)
	}
	// The proxies are there before what they stand between.
	var between atomic.Pointer[siege]
	toFPM := startFaultProxy(t, func() (net.Conn, error) {
		f := between.Load().f
		return net.Dial(f.network, f.address)
	}, choose)
	toGateway := startFaultProxy(t, func() (net.Conn, error) { return dialRaw(between.Load().g.addresses[0]) }, choose)
	s := besiege(t, "95 faults", besiegeOptions{
		global: "ping = 1s\npong = 1s",
		more:   "[fastcgi faulty]\naddress = " + toFPM.address() + "\ntimeout = 5s\n",
		routes: []string{"/faulty whole.php\nfastcgi = faulty", "/fine whole.php"},
	})
	between.Store(s)
	f, g := s.f, s.g
	f.write("whole.php", wholeScript)

	var work sync.WaitGroup
	var answered, failures, unanswered sentList
	for i := range 24 {
		path := []string{"/faulty", "/fine"}[i%2]
		address := toGateway.address()
		if i%4 == 2 { // a good way to a bad php-fpm
			address = g.addresses[0]
		}
		work.Go(func() {
			for n := 0; time.Since(s.begun) < lasts; {
				c, err := connect(handshake{address: address, host: g.addresses[0], path: path})
				if err != nil {
					if c != nil {
						c.conn.Close()
					}
					continue
				}
				c.timeout = 12 * time.Second
				for seq := 1; time.Since(s.begun) < lasts && seq < 40; seq++ {
					n++
					message := fmt.Sprintf("%d-%d-%s", i, n, strings.Repeat("x", n*n*37%20_000))
					id := fmt.Sprintf("%d-%d-%d", i, n, len(message))
					if err = c.text(message); err != nil {
						unanswered.add(id)
						break
					}
					var got []byte
					if _, got, err = c.message(); err != nil {
						unanswered.add(id)
						break
					}
					switch m := failed.FindSubmatch(got); {
					case string(got) == message:
						answered.add(id)
					case m != nil && string(m[3]) == itoa(seq):
						failures.add(id)
					default:
						t.Errorf("the answer to %.40s, %d bytes, number %d, is %.100q of %d bytes", message, len(message), seq, got, len(got))
					}
				}
				var broken *closeError
				if errors.As(err, &broken) && broken.code != 1001 || errors.Is(err, errServer) {
					t.Errorf("a client that did nothing wrong: %v", err)
				}
				c.conn.Close()
			}
		})
	}
	work.Wait()
	toGateway.close()
	figure(t, s.name, "seed %d: %d messages answered, %d failed, %d cut off; to the gateway %s, to php-fpm %s",
		seed, len(answered.list), len(failures.list), len(unanswered.list), toGateway.said(), toFPM.said())
	if len(answered.list) < 100 || len(failures.list) == 0 || len(unanswered.list) == 0 {
		t.Errorf("too little happened to prove anything")
	}
	toFPM.close()
	ran := f.executions()
	figure(t, s.name, "%d times PHP was given a part of a message", ran["a part"])
	delete(ran, "a part")
	// What was cut off may have run or not, as what failed.
	wantOnce(t, ran, answered.list, append(failures.list, unanswered.list...))
	s.over()
	s.conserved()
}

// wholeScript is an echo that writes down what it was given. PHP runs a script
// also if the connection ends within the body: then it has a part of it, which
// is no message, and only CONTENT_LENGTH tells.
const wholeScript = `<?php
require __DIR__ . '/record.inc.php';
$message = file_get_contents('php://input');
if (strlen($message) !== (int) $_SERVER['CONTENT_LENGTH']) {
    record('a part');
    exit;
}
record(rtrim($message, 'x') . strlen($message));
echo $message;
`

// sentList is messages, from several goroutines.
type sentList struct {
	mu   sync.Mutex // guards list
	list []string
}

func (l *sentList) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, s)
}

// conserved checks the books, which balance when nothing is on its way: what
// came in was given to PHP or counted as dropped, and what was for clients was
// sent or counted as dropped.
func (s *siege) conserved() {
	s.t.Helper()
	var in, toPHP, refused, out, sent, dropped float64
	s.until(10*time.Second, "the books balance", func(m series) bool {
		toPHP = 0
		for name, n := range m {
			if strings.HasPrefix(name, `ws_fpm_events_total{event="message"`) {
				toPHP += n
			}
		}
		in, refused = m["ws_fpm_messages_received_total"], m.sum("ws_fpm_messages_dropped_total")
		out, sent, dropped = m.sum("ws_fpm_messages_for_clients_total"), m["ws_fpm_messages_sent_total"], m.sum("ws_fpm_sends_dropped_total")
		return in == toPHP+refused && out == sent+dropped
	})
	figure(s.t, s.name, "%v messages in = %v events + %v dropped; %v messages for clients = %v sent + %v dropped", in, toPHP, refused, out, sent, dropped)
}
