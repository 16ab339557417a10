package websocket

import (
	"compress/flate"
	"errors"
	"sync"
)

// minDeflate is the shortest message that is deflated, in bytes: with less
// there is little to win.
const minDeflate = 256

// deflaters are those not in use.
var deflaters = sync.Pool{New: func() any {
	d := new(deflater)
	w, err := flate.NewWriter(d, flate.BestSpeed)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	d.flate = w
	return d
}}

// A deflater deflates messages (RFC 7692, section 7.2.1), one after the other,
// each without a look at earlier ones.
type deflater struct {
	flate *flate.Writer
	most  int
	out   []byte
}

var errNoGain = errors.New("websocket: deflating: no gain")

// deflate deflates payload into d.out. It fails with errNoGain as soon as that
// gets as long as payload is.
func (d *deflater) deflate(payload []byte) error {
	d.out, d.most = d.out[:0], len(payload)+len(tail)-1
	d.flate.Reset(d)
	if _, err := d.flate.Write(payload); err != nil {
		return err
	}
	if err := d.flate.Flush(); err != nil {
		return err
	}
	d.out = d.out[:len(d.out)-len(tail)] // Flush ends with an empty block, as section 7.2.1 wants it
	return nil
}

// Write takes what compress/flate makes.
func (d *deflater) Write(b []byte) (int, error) {
	if len(d.out)+len(b) > d.most {
		return 0, errNoGain
	}
	d.out = append(d.out, b...)
	return len(b), nil
}

// maxPooled is the largest buffer that a deflater keeps, in bytes: one large
// message must not pin its memory for good.
const maxPooled = 64 << 10

func (d *deflater) release() {
	poison(d.out)
	if cap(d.out) > maxPooled {
		d.out = nil
	}
	deflaters.Put(d)
}
