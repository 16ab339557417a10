package websocket

// A rate bounds how often something may happen: perSecond times on average,
// and burst times at once. The zero value has seen nothing happen. It is the
// generic cell rate algorithm: one number, the time at which all that has
// happened is paid for.
type rate struct{ paid int64 }

// take notes that it happened at now, in nanoseconds, and returns how long it
// is until it may happen again; zero or less means at once.
func (r *rate) take(now, perSecond, burst int64) (wait int64) {
	interval := int64(1e9) / perSecond
	r.paid = max(r.paid, now) + interval
	return r.paid + interval - burst*interval - now
}
