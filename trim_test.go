package main

import (
	"context"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestCrowd(t *testing.T) {
	for _, test := range []struct {
		name string
		now  []int
		want []int // at which of them many have gone
	}{
		{"511 are few", []int{1000, 489}, nil},
		{"512 are many", []int{1000, 488}, []int{1}},
		{"also if they go bit by bit", []int{1000, 800, 600, 488}, []int{3}},
		{"and only once", []int{1000, 488, 488, 0, 0}, []int{1}},
		{"of a large crowd less than an eighth are few", []int{8000, 7001}, nil},
		{"an eighth of it are many", []int{8000, 7000}, []int{1}},
		{"a second crowd counts as the first", []int{600, 0, 600, 0}, []int{1, 3}},
		{"one that grows has not gone", []int{1000, 2000, 3000}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c crowd
			var got []int
			for i, now := range test.now {
				if c.left(now) {
					got = append(got, i)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("many have gone at %v of %v, want %v", got, test.now, test.want)
			}
		})
	}
}

func TestLull(t *testing.T) {
	const mib = 1 << 20
	for _, test := range []struct {
		name string
		now  []work // so far; before it there had been 5 collections, and 8 MiB
		want []int  // at which of them a lull has begun
	}{
		{"nothing at all", []work{{5, 8 * mib}, {5, 8 * mib}}, nil},
		{"collections, and more, and then none", []work{{6, 8 * mib}, {9, 8 * mib}, {9, 8 * mib}, {9, 8 * mib}}, []int{2, 3}}, // until it is told
		{"always some", []work{{6, 9 * mib}, {7, 10 * mib}, {8, 11 * mib}}, nil},
		{"less litter than a collection is worth", []work{{5, 9*mib - 1}}, nil},
		{"so much litter", []work{{5, 9 * mib}}, []int{0}},
		{"little by little", []work{{5, 8*mib + mib/2}, {5, 9 * mib}}, []int{1}},
		{"litter that Go has collected of late", []work{{6, 9 * mib}}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := lull{work{5, 8 * mib}, work{5, 8 * mib}}
			var got []int
			for i, now := range test.now {
				if l.begun(now) {
					got = append(got, i)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("lulls begin at %v of %v, want %v", got, test.now, test.want)
			}
		})
	}
}

func TestMemoryShort(t *testing.T) {
	for _, test := range []struct {
		name        string
		used, limit int64
		want        bool
	}{
		{"no limit", 1 << 40, 0, false},
		{"less", 799, 1000, false},
		{"four fifths", 800, 1000, false},
		{"more", 801, 1000, true},
	} {
		if got := memoryShort(func() int64 { return test.used }, test.limit); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// TestMemoryUsed: what lives is counted, garbage is not.
func TestMemoryUsed(t *testing.T) {
	runtime.GC()
	before := memoryUsed()
	lives := make([]byte, 64<<20)
	runtime.GC()
	with := memoryUsed()
	runtime.KeepAlive(lives)
	runtime.GC()
	after := memoryUsed()
	const slack = 8 << 20
	if before <= 0 || with < before+64<<20-slack || with > before+64<<20+slack || after > before+slack {
		t.Errorf("64 MiB come and go: %d, %d, %d", before, with, after)
	}
}

// TestTrimMemory: it collects when a crowd has gone, or when there was work and no
// more of it, and else lets Go do it.
func TestTrimMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		forced := func() uint32 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.NumForcedGC
		}
		before := forced()
		var clients atomic.Int64
		var short atomic.Bool
		clients.Store(1000)
		go trimMemory(ctx, func() int { return int(clients.Load()) }, short.Load)
		time.Sleep(3*trimInterval + 1)
		synctest.Wait()
		if n := forced() - before; n != 0 {
			t.Errorf("%d collections, and nobody has gone", n)
		}
		clients.Store(0)
		time.Sleep(3 * trimInterval)
		synctest.Wait()
		if n := forced() - before; n != 2 {
			t.Errorf("%d collections when all have gone, want 2", n)
		}
		runtime.GC() // as if there had been work
		time.Sleep(3 * trimInterval)
		synctest.Wait()
		if n := forced() - before; n != 2+1+2 {
			t.Errorf("%d collections when the work was done, want 2 more", n-2-1)
		}
		short.Store(true)
		time.Sleep(3 * trimInterval)
		synctest.Wait()
		if n := forced() - before; n != 5+3*2 {
			t.Errorf("%d collections while memory was short, want two at each look", n-5)
		}
	})
}
