package fastcgi

import (
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	nudgeAfter  = 100 * time.Millisecond // silence of a new connection before idle ones are closed
	proveFor    = 50 * time.Millisecond  // how long the first validated connections are watched
	maxUnread   = 64 << 10               // bytes of a reply that wait to be read
	maxUnreadMx = 1 << 20                // the same on a connection that others share
)

type connState uint8

const (
	connBusy       connState = iota // carries requests, or is about to
	connFlushing                    // its request has ended, and is not wholly written
	connValidating                  // its request has ended, FCGI_GET_VALUES is unanswered
	connProving                     // answered, by a server that may close behind the answer
	connIdle                        // ready for a request
	connClosed
)

// A conn is one connection. One goroutine at a time reads it: the watcher's,
// or where somebody has to be waited for, one of its own. What the bytes mean
// the mux says. Lock order: a conn's mu, then its client's.
type conn struct {
	client *Client
	nc     io.ReadWriteCloser
	raw    syscall.RawConn
	tcp    bool
	plain  bool // a *socket: not for a goroutine to wait for, if that can be helped

	mu     sync.Mutex // guards what follows; released by unlock
	room   sync.Cond  // the reader waits here while too much is unread
	state  connState
	mux    mux
	reqs   [sharedLimit]*Response // in flight, by id-1
	last   bool                   // to be closed once nothing is in flight
	stop   func()                 // ends the watching; nil: a goroutine reads
	head   knownHead              // of the last reply
	used   bool                   // has carried a request to its end
	heard  bool                   // a byte has come
	proved bool                   // FCGI_GET_VALUES was answered behind the last END_REQUEST
	broken error                  // why reading or writing has failed
	todo   todo

	writing  writeState
	out      []outgoing
	try      tryWriter // used by whoever set writing
	take     tryReader // used by the watcher
	timer    *time.Timer
	armed    time.Time // when timer fires; zero: not armed
	stateEnd time.Time // when validating, proving or idle is looked at again
	giveUp   time.Time // when validating ends in any case
	nudgeAt  time.Time // zero: not wanted

	// The client's mu guards these.
	load, capacity int // requests granted, and how many may be
	listed         bool
	gone           bool // for good: a change that is told late must not list it
}

type writeState uint8

const (
	notWriting   writeState = iota
	tryingWrite             // in a call that does not wait
	waitingWrite            // a goroutine waits for the socket
)

// An outgoing is bytes on their way to the socket.
type outgoing struct {
	r    *Response // nil: FCGI_GET_VALUES alone
	wire *[]byte
	sent int
}

// todo is what follows from a change, to be done when the lock is released.
type todo struct {
	flush   bool // write what is queued
	unlist  bool // give the connection no further request
	close   bool
	rest    time.Duration // close: how long the slot stays taken
	eof     bool          // close: an idle connection was closed by the server
	shed    bool          // close idle connections: a new one is not served
	freed   int           // the connection has room for so many more requests
	shares  bool          // the server multiplexes
	streams int           // streamed replies that ended
	ended   [classes]int  // requests that ended
	tell    *Response     // its receiver has something to be told
}

func (c *Client) newConn(nc io.ReadWriteCloser) *conn {
	cn := &conn{client: c, nc: nc, load: 1, capacity: 1}
	cn.room.L = &cn.mu
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			cn.raw = raw
		}
	}
	_, cn.tcp = nc.(*net.TCPConn)
	_, cn.plain = nc.(*socket)
	cn.try = newTryWriter(cn.raw, cn.tcp)
	cn.take = newTryReader(cn.raw)
	return cn
}

// unlock ends a change of cn and does what followed from it. Nothing of that
// may happen under the lock: closing waits for the kernel, and the client may
// touch other connections.
func (cn *conn) unlock() {
	if cn.todo == (todo{}) {
		cn.mu.Unlock()
		return
	}
	do := cn.todo
	cn.todo = todo{}
	cn.mu.Unlock()
	tell := do.tell
	do.tell = nil
	switch {
	case do.close:
		cn.nc.Close()
		cn.unwatch()
		cn.client.gone(cn, do)
	default:
		if do.flush {
			cn.flush()
			do.flush = false
		}
		if do != (todo{}) {
			cn.client.changed(cn, do)
		}
	}
	if tell != nil {
		tell.tell()
	}
}

// send sends r's wire, which is cn's from now on. It fails if the connection
// has closed since it was granted.
func (cn *conn) send(r *Response) (ok bool) {
	cn.mu.Lock()
	defer cn.unlock()
	if cn.state == connClosed || cn.last {
		return false
	}
	if r.id, ok = cn.mux.begin(); !ok {
		return false
	}
	wire := r.wire
	r.wire = nil
	if r.id != 1 {
		setID(*wire, r.id)
	}
	cn.state, cn.proved = connBusy, false
	now := time.Now()
	r.started, r.deadline = now, now.Add(cn.client.opts.Timeout)
	cn.reqs[r.id-1] = r
	if r.keep {
		cn.mux.ask()
	}
	if !cn.used && !cn.heard {
		cn.nudgeAt = now.Add(nudgeAfter)
	}
	if cn.used {
		cn.client.n.reused.Add(1)
	}
	cn.last = cn.last || !r.keep
	cn.armLocked()
	cn.queueLocked(outgoing{r: r, wire: wire})
	return true
}

// closeLocked closes an open connection; its slot stays taken for rest more.
// What is in flight has failed before, or fails here.
func (cn *conn) closeLocked(rest time.Duration) {
	cn.state = connClosed
	cn.todo.close = true
	cn.todo.rest = rest
	cn.todo.freed = 0
	if cn.timer != nil {
		cn.timer.Stop()
	}
	cn.room.Broadcast()
	if cn.writing == notWriting {
		cn.dropOutLocked()
		cn.failAllLocked()
	} // else the writer knows what was sent, and does it
}

// breakLocked closes the connection because of err.
func (cn *conn) breakLocked(err error) {
	cn.broken = err
	cn.closeLocked(0)
}

// failAllLocked fails what is in flight on a closed connection.
func (cn *conn) failAllLocked() {
	for i, r := range cn.reqs {
		if r != nil {
			cn.reqs[i] = nil
			cn.todo.ended[r.class]++
			r.failLocked(r.lostLocked(cn.broken))
		}
	}
}

// retire closes the connection as soon as it carries nothing.
func (cn *conn) retire() {
	cn.mu.Lock()
	defer cn.unlock()
	cn.last = true
	if cn.state != connClosed && cn.mux.active == 0 {
		cn.closeLocked(0)
	}
}

// kill closes the connection whatever it carries.
func (cn *conn) kill() {
	cn.mu.Lock()
	defer cn.unlock()
	if cn.state != connClosed {
		cn.breakLocked(errClientClosed)
	}
}
