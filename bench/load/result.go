package load

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// A Result is what one measurement gave. What does not belong to its mode is
// zero.
type Result struct {
	Mode     string
	Conns    int
	Size     int
	Seconds  float64 // measured
	Messages uint64  // answers, handshakes or deliveries, all of them checked
	P50, P99 time.Duration
	Max      time.Duration
	Server   time.Duration // processor time of the server's processes
	Own      time.Duration // of this program
	Pings    int
	Idle     float64 // bytes per connection, private to the server's processes
	After    float64 // the same, after one message each
	Opened   time.Duration
	Publish  uint64 // messages published
	Sent     uint64 // published times subscribers that were there
	Missed   uint64 // deliveries that did not come
	Lost     int    // subscribers that the server cut off
	// First and Last are the server's processor time per message in the first
	// and the last tenth of the measurement, in microseconds.
	First, Last float64
	// What the server's Go says of itself: objects allocated, collections, and
	// processor time of those that ended.
	Allocs, Collections uint64
	Collecting          time.Duration
	// What the server counts itself: messages meant for clients, and those of
	// them that it neither sent nor dropped when all clients have gone.
	Meant, Unaccounted uint64
}

// CPU is what the server used per message, in microseconds.
func (r Result) CPU() float64 { return perMessage(r.Server, r.Messages) }

func perMessage(d time.Duration, n uint64) float64 {
	if n == 0 {
		return 0
	}
	return float64(d.Nanoseconds()) / 1e3 / float64(n)
}

// Print writes a result for a reader.
func (r Result) Print(w io.Writer) {
	fmt.Fprintf(w, "%s: %d connections, %d bytes\n", r.Mode, r.Conns, r.Size)
	short := func(d time.Duration) time.Duration { return d.Round(time.Microsecond) }
	if r.Mode == "idle" {
		fmt.Fprintf(w, "opened     in %v, %d pings answered, no connection lost\n", short(r.Opened), r.Pings)
		if r.Idle != 0 {
			fmt.Fprintf(w, "memory     %.0f bytes per connection idle", r.Idle)
			if r.After != 0 {
				fmt.Fprintf(w, ", %.0f after one message each", r.After)
			}
			fmt.Fprintln(w)
		}
		return
	}
	what := map[string]string{"echo": "messages", "connect": "handshakes", "broadcast": "deliveries"}[r.Mode]
	fmt.Fprintf(w, "%-10s %d in %.1f s, %.0f/s, each checked\n", what, r.Messages, r.Seconds, float64(r.Messages)/r.Seconds)
	if r.Mode == "broadcast" {
		fmt.Fprintf(w, "published  %d, sent %d, missed %d, cut off %d\n", r.Publish, r.Sent, r.Missed, r.Lost)
		if r.Meant > 0 {
			fmt.Fprintf(w, "counted    %d by the server, of which %d neither sent nor dropped\n", r.Meant, r.Unaccounted)
		}
	}
	fmt.Fprintf(w, "latency    p50 %v, p99 %v, max %v\n", short(r.P50), short(r.P99), short(r.Max))
	if r.First > 0 {
		fmt.Fprintf(w, "server     %.2f µs in the first tenth, %.2f µs in the last\n", r.First, r.Last)
	}
	if r.Allocs > 0 {
		fmt.Fprintf(w, "server     %.4f allocations each, %d collections that took %.2f %% of its cpu\n",
			float64(r.Allocs)/float64(r.Messages), r.Collections, 100*r.Collecting.Seconds()/r.Server.Seconds())
	}
	for _, of := range []struct {
		who string
		cpu time.Duration
	}{{"server", r.Server}, {"generator", r.Own}} {
		if of.cpu > 0 {
			fmt.Fprintf(w, "%-10s %.2f µs cpu each, %.0f %% of a cpu\n", of.who,
				perMessage(of.cpu, r.Messages), 100*of.cpu.Seconds()/r.Seconds)
		}
	}
}

// PrintJSON writes it for a program.
func (r Result) PrintJSON(w io.Writer) error { return json.NewEncoder(w).Encode(r) }
