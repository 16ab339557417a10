package integration_test

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestAbuseVanish: clients whose network is gone without a word are ended in
// the time that pings take, those that are written to in that of a write, and
// PHP has one disconnect event of each.
func TestAbuseVanish(t *testing.T) {
	idle, written := scaled(60, 10_000), scaled(10, 100)
	ping, pong := time.Duration(scaled(1, 25))*time.Second, time.Duration(scaled(1, 10))*time.Second
	var attacked atomic.Pointer[gateway]
	dialVictim, pull, by := func() (net.Conn, error) { return nil, nil }, func() {}, "a network namespace whose link goes down"
	listen := "127.0.0.1"
	if w, err := newAway(t); err == nil {
		listen = w.home
		dialVictim, pull = func() (net.Conn, error) { return w.dial(attacked.Load().addresses[1]) }, w.pull
	} else {
		by = fmt.Sprintf("a proxy that passes nothing on (no network of its own: %v)", err)
		p := startFaultProxy(t, func() (net.Conn, error) { return dialRaw(attacked.Load().addresses[1]) }, func(int) fault { return fault{} })
		dialVictim, pull = func() (net.Conn, error) { return dialRaw(p.address()) }, p.freeze
	}
	s := besiege(t, "22, 23 vanished peers", besiegeOptions{
		keeps:  idle,
		global: fmt.Sprintf("ping = %v\npong = %v\ntrusted_proxies = 198.18.0.0/15", ping, pong), // not counted by address
		more:   "[listen away]\naddress = " + listen + ":0\n",
		routes: []string{"/events leave.php\nevents = message, disconnect"},
	})
	attacked.Store(s.g)
	// A message is answered with so many bytes; a disconnect is written down.
	s.f.write("leave.php", `<?php require __DIR__ . '/record.inc.php';
if ($_SERVER['WS_EVENT'] === 'disconnect') record($_SERVER['WS_CONNECTION_ID']);
if ($_SERVER['WS_EVENT'] === 'message') echo str_repeat('x', (int) file_get_contents('php://input'));`)
	victims := make([]*client, idle+written)
	var work sync.WaitGroup
	for k := range 4 {
		work.Go(func() {
			for i := k; i < len(victims); i += 4 {
				conn, err := dialVictim()
				if err != nil {
					t.Errorf("victim %d: %v", i, err)
					return
				}
				c := newClient(conn)
				if err := c.open(handshake{address: s.g.addresses[1], path: "/events"}); err != nil {
					t.Errorf("victim %d: %v", i, err)
					return
				}
				victims[i] = c
			}
		})
	}
	work.Wait()
	if t.Failed() {
		return
	}
	t.Cleanup(func() {
		for _, c := range victims {
			c.conn.Close()
		}
	})
	all := float64(len(victims))
	peace := s.metrics()["ws_fpm_connections"] - all
	for _, c := range victims[idle:] { // they do not read, so there is always something to write
		c.conn.(*net.TCPConn).SetReadBuffer(4096)
		c.text("800000")
		c.text("800000")
	}
	s.until(60*time.Second, "PHP has answered them", func(m series) bool {
		return m[`ws_fpm_pool_connections{pool="attacked",state="in_use"}`]+m[`ws_fpm_pool_waiting{pool="attacked",state="waiting"}`] == 0 &&
			m["ws_fpm_messages_for_clients_total{kind=\"reply\"}"] >= float64(2*written)
	})
	pull()
	begun := time.Now()
	var idleGone, writtenGone time.Duration
	s.until(ping+pong+40*time.Second, "all have been noticed", func(m series) bool {
		if idleGone == 0 && m[`ws_fpm_cut_total{cause="pong"}`] >= float64(idle) {
			idleGone = time.Since(begun)
		}
		if writtenGone == 0 && m[`ws_fpm_cut_total{cause="write_timeout"}`] >= float64(written) {
			writtenGone = time.Since(begun)
		}
		return idleGone > 0 && writtenGone > 0 && m["ws_fpm_connections"] <= peace+1 // a newcomer
	})
	figure(t, s.name, "by %s: %d idle ones gone after %v, %d that are written to after %v", by, idle, idleGone.Round(time.Millisecond), written, writtenGone.Round(time.Millisecond))
	if want := ping + pong + 2*time.Second; idleGone > slack(want) {
		t.Errorf("idle ones were there for %v, want %v", idleGone, want)
	}
	if want := 11 * time.Second; writtenGone > slack(want) {
		t.Errorf("those that are written to were there for %v, want %v", writtenGone, want)
	}
	s.until(time.Duration(len(victims)/80+10)*time.Second, "PHP has been told of all", func(m series) bool {
		return m[`ws_fpm_events_total{event="disconnect",result="answered"}`] >= all
	})
	told := s.f.executions()
	for id, n := range told {
		if n != 1 {
			t.Errorf("%d disconnect events of %s", n, id)
		}
	}
	figure(t, s.name, "%d disconnect events of %d connections, %v after the cable was pulled", len(told), len(victims), time.Since(begun).Round(time.Second))
	if len(told) != len(victims) {
		t.Errorf("%d disconnect events of %d connections", len(told), len(victims))
	}
	s.over()
	s.conserved()
}
