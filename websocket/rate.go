package websocket

// A rate says how often something may happen: once per interval in the long
// run, and so often at once that slack is used up. Both are in nanoseconds.
//
// What has happened is kept as one number, the time at which all of it is paid
// for at the price of one interval each (the generic cell rate algorithm). It
// may be ahead of the clock by slack; zero is nothing so far.
type rate struct{ interval, slack int64 }

// newRate makes a rate of so many a second, and burst at once.
func newRate(perSecond, burst int64) rate {
	interval := second / perSecond
	return rate{interval, (burst - 1) * interval}
}

const second = 1e9

// spend pays for one more at the time now.
func (r rate) spend(paid, now int64) int64 { return max(paid, now) + r.interval }

// wait is how long after now one more may come; zero if it may come now.
func (r rate) wait(paid, now int64) int64 { return max(0, paid-r.slack-now) }
