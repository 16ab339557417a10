//go:build linux

package epoll

import (
	"syscall"
	"testing"
	"time"
)

// pair is a set with one end of a pair of sockets in it, and the other end.
func pair(t *testing.T) (set *Set, ours, other int) {
	t.Helper()
	p, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	set, err = New()
	if err == nil {
		err = set.Add(p[0], In)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		set.Close()
		syscall.Close(p[0])
		syscall.Close(p[1])
	})
	return set, p[0], p[1]
}

func TestWaitFor(t *testing.T) {
	set, ours, other := pair(t)
	for _, d := range []time.Duration{-1, 0, 1, 300 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond} {
		began := time.Now()
		for left := d; ; left = d - time.Since(began) {
			events, err := set.WaitFor(left)
			if len(events) > 0 || err != nil {
				t.Fatalf("WaitFor(%v) = %v, %v; want nothing", d, events, err)
			}
			if left <= 0 {
				break
			}
		}
		if took := time.Since(began); took < d {
			t.Errorf("WaitFor(%v) again and again took %v", d, took)
		}
	}
	if _, err := Write(other, []byte("a")); err != nil {
		t.Fatal(err)
	}
	for _, d := range []time.Duration{-1, 0, 300 * time.Microsecond, time.Hour} {
		events, err := set.WaitFor(d)
		if err != nil || len(events) != 1 || int(events[0].Fd) != ours || events[0].Events&Readable == 0 {
			t.Errorf("WaitFor(%v) = %v, %v; want that %d can be read", d, events, err, ours)
		}
	}
	if events, err := set.Wait(); len(events) != 1 || err != nil {
		t.Errorf("Wait = %v, %v", events, err)
	}
}

func TestTransfer(t *testing.T) {
	set, ours, other := pair(t)
	b := make([]byte, 10)
	if n, err := Read(ours, b); n != 0 || err != syscall.EAGAIN {
		t.Errorf("Read of nothing = %d, %v; want EAGAIN", n, err)
	}
	if n, err := Write(other, nil); n != 0 || err != nil {
		t.Errorf("Write of nothing = %d, %v", n, err)
	}
	for { // until the socket takes no more
		n, err := Write(other, make([]byte, 1<<16))
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	if n, err := Read(ours, b); n != len(b) || err != nil {
		t.Errorf("Read = %d, %v", n, err)
	}
	if err := set.Remove(ours); err != nil {
		t.Fatal(err)
	}
	if events, err := set.WaitFor(0); len(events) > 0 || err != nil {
		t.Errorf("WaitFor after Remove = %v, %v", events, err)
	}
}

// Nothing is allocated by what programs call for each message.
func TestAllocatesNothing(t *testing.T) {
	set, ours, other := pair(t)
	b := make([]byte, 10)
	n := testing.AllocsPerRun(100, func() {
		Write(other, b)
		set.WaitFor(time.Minute)
		Read(ours, b)
		Read(ours, b) // EAGAIN
		set.WaitFor(time.Microsecond)
	})
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// A descriptor that select does not know is refused, not overlooked.
func TestNewWantsALowDescriptor(t *testing.T) {
	_, ours, other := pair(t)
	_, silent, _ := pair(t)
	var fds []int
	defer func() {
		for _, fd := range fds {
			syscall.Close(fd)
		}
	}()
	for {
		fd, err := syscall.Dup(silent)
		if err != nil {
			t.Skip("fewer descriptors than select knows: ", err)
		}
		fds = append(fds, fd)
		if fd == setSize-1 {
			break
		}
	}
	if set, err := New(); err == nil {
		set.Close()
		t.Error("New gave a set above what select knows")
	}
	syscall.Close(fds[len(fds)-1])
	fds = fds[:len(fds)-1]
	set, err := New()
	if err != nil || set.fd != setSize-1 {
		t.Fatalf("New = %+v, %v; want descriptor %d", set, err, setSize-1)
	}
	defer set.Close()
	if err := set.Add(ours, In); err != nil {
		t.Fatal(err)
	}
	if events, err := set.WaitFor(time.Microsecond); len(events) > 0 || err != nil {
		t.Errorf("WaitFor with descriptor %d = %v, %v; want nothing", set.fd, events, err)
	}
	if _, err := Write(other, []byte("a")); err != nil {
		t.Fatal(err)
	}
	if events, err := set.WaitFor(time.Microsecond); len(events) != 1 || err != nil {
		t.Errorf("WaitFor with descriptor %d = %v, %v; want that %d can be read", set.fd, events, err, ours)
	}
}
