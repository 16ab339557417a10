package websocket

import (
	"cmp"
	"fmt"
	"runtime"
	"time"
)

// Times that are the same for every connection. They are constants, for
// nobody has a reason to change them.
const (
	// messageTimeout bounds a message from its first byte to its last. A
	// client that is slower is closed with 1008.
	messageTimeout = 30 * time.Second

	// writeTimeout bounds a wait in which the socket takes no byte. A client
	// that reads so little is closed with 1013.
	writeTimeout = 10 * time.Second

	// closeTimeout bounds the wait for the client's part of the closing
	// handshake, and then for the end of its stream.
	closeTimeout = 5 * time.Second

	// sweepCycle is how often each connection's times are looked at, so a
	// time limit strikes at most that much late.
	sweepCycle = time.Second

	// sweepSteps is the number of parts in which one cycle is done, so that
	// no moment has to look at all connections.
	sweepSteps = 10
)

// Control frames of a client that are accepted: so many a second, and so many
// at once. One that sends more is not read until it has waited for them.
const (
	controlRate  = 10
	controlBurst = 50
)

// minThrottle is the least time for which a client is not read that sends too
// much, so that one which never stops does not cost a timer for every message.
const minThrottle = 50 * time.Millisecond

// readSize is the most that is read from one socket at one visit, in bytes, unless
// it goes straight to where a large message gathers: see maxDirect.
const readSize = 64 << 10

// guestSize is the same for what answers clients, php-fpm: all of a large answer
// is theirs, and whoever writes it waits for it to be read.
const guestSize = 256 << 10

// Options configure a Server. The zero value is safe and ready to use.
type Options struct {
	// Ping is how long a client may be silent before it is sent a ping.
	// Zero means 25 s.
	Ping time.Duration

	// Pong is how long a client may take to show life after a ping; any byte
	// counts. Zero means 10 s.
	Pong time.Duration

	// Buffers bounds the memory of all queues of all connections together,
	// in bytes: outgoing frames, unfinished messages, what Hold was told. A
	// message for many (Prepared) that waits in several queues counts once.
	// Over 80 % of it Pressed says so, over 90 % the connections that hold most
	// are closed until it is 85 %, over 95 % whoever sends a message that needs
	// room is closed. Zero means 256 MiB.
	Buffers int64

	// Loops is the number of event loops, each with an epoll instance of its
	// own. Zero means one for each two cores that Go uses: a loop that has
	// more to do at a time costs less, and whoever answers needs the others.
	Loops int

	// Blocking makes a goroutine wait for each connection, as happens anyway
	// for TLS and where there is no epoll.
	Blocking bool

	// OnPanic is told of a panic while a connection was served; the
	// connection is closed. Nil means that nobody is told.
	OnPanic func(value any, stack []byte)
}

func (o Options) withDefaults() (Options, error) {
	o.Ping = cmp.Or(o.Ping, 25*time.Second)
	o.Pong = cmp.Or(o.Pong, 10*time.Second)
	o.Buffers = cmp.Or(o.Buffers, 256<<20)
	o.Loops = cmp.Or(o.Loops, max(1, runtime.GOMAXPROCS(0)/2))
	if o.Ping < 0 || o.Pong < 0 || o.Buffers < 0 || o.Loops < 0 {
		return o, fmt.Errorf("websocket: a negative option: Ping %v, Pong %v, Buffers %d, Loops %d",
			o.Ping, o.Pong, o.Buffers, o.Loops)
	}
	if o.OnPanic == nil {
		o.OnPanic = func(any, []byte) {}
	}
	return o, nil
}

// Limits bound one connection. The zero value is safe and ready to use.
type Limits struct {
	// MaxMessage is the longest message accepted, in bytes; a longer one
	// closes the connection with 1009. Zero means 1 MiB.
	MaxMessage int64

	// MessageRate is how many messages a second are accepted, and twice as
	// many at once. A client that sends more is not read until it has waited
	// for them; nothing is lost. Zero means 200.
	MessageRate int

	// Fragment is the longest payload of a frame we send, in bytes; a longer
	// message is sent in several. Zero means 64 KiB.
	Fragment int

	// Deflate is what was agreed on in the handshake: whether messages may be
	// deflated. They count with what they hold, be they deflated or not.
	Deflate Deflate

	// Outbox is how much may wait to be sent, in bytes. A message is still
	// accepted while less waits; over it the connection is closed with 1013.
	// Zero means 1 MiB.
	Outbox int
}

func (l Limits) withDefaults() Limits {
	l.MaxMessage = cmp.Or(max(l.MaxMessage, 0), 1<<20)
	l.MessageRate = cmp.Or(max(l.MessageRate, 0), 200)
	l.Fragment = cmp.Or(max(l.Fragment, 0), 64<<10)
	l.Outbox = cmp.Or(max(l.Outbox, 0), 1<<20)
	return l
}
