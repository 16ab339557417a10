package websocket

import "fmt"

// pattern is a payload in which no part is like another, so that one that is
// lost, doubled or moved shows. As text its characters have one to four bytes.
func pattern(size int, op Opcode) string {
	b := make([]byte, 0, size)
	for x := uint32(1); len(b) < size; {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		switch {
		case op == Binary:
			b = append(b, byte(x>>8))
		case x%64 == 0 && size-len(b) >= len("ß€😀"):
			b = append(b, "ß€😀"...)
		default:
			b = append(b, 'a'+byte(x>>8)%26)
		}
	}
	return string(b)
}

// fragmented cuts payload into frames of size bytes. Like the suite's sender
// it ends with an empty frame where size divides the payload.
func fragmented(op Opcode, payload string, size int) (frames []string) {
	for len(payload) >= size {
		frames = append(frames, frame(more, op, payload[:size]))
		payload, op = payload[size:], opContinuation
	}
	return append(frames, frame(last, op, payload))
}

// large is clean, made when it is played.
func large(name string, own style, chop int, steps func() []step) script {
	return script{name: name, own: own, chop: chop, end: Closing{1000, "", ByClient},
		lazy: func() []step { return append(steps(), closes(1000)) }}
}

// sizes is groups 9 and 10.
func sizes() (scripts []script) {
	const kib, mib = 1 << 10, 1 << 20
	add := func(own style, chop, group, part int, about string, steps func() []step) {
		scripts = append(scripts, large(fmt.Sprintf("9.%d.%d %s", group, part, about), own, chop, steps))
	}
	for i, op := range []Opcode{Text, Binary} {
		for j, size := range []int{64 * kib, 256 * kib, mib, 4 * mib, 8 * mib, 16 * mib} {
			add(inOneWrite, 64*kib-1, 1+i, j+1, fmt.Sprintf("%v of %d KiB in a frame", op, size/kib), func() []step {
				return []step{echoed(op, pattern(size, op))}
			})
		}
		for j, size := range []int{64, 256, kib, 4 * kib, 16 * kib, 64 * kib, 256 * kib, mib, 4 * mib} {
			add(perFrame, 64*kib-1, 3+i, j+1, fmt.Sprintf("%v of 4 MiB in frames of %d bytes", op, size), func() []step {
				p := pattern(4*mib, op)
				if size == 4*mib {
					return []step{echoed(op, p)}
				}
				return []step{sends(fragmented(op, p, size)...).gets(message(op, p))}
			})
		}
		for j, size := range []int{64, 128, 256, 512, kib, 2 * kib} {
			add(chopped, size, 5+i, j+1, fmt.Sprintf("%v of 1 MiB written %d bytes at a time", op, size), func() []step {
				return []step{echoed(op, pattern(mib, op))}
			})
		}
		for j, size := range []int{0, 16, 64, 256, kib, 4 * kib} {
			add(inOneWrite, 997, 7+i, j+1, fmt.Sprintf("1000 round trips of %v of %d bytes", op, size), func() (steps []step) {
				for range 1000 {
					steps = append(steps, echoed(op, pattern(size, op)))
				}
				return steps
			})
		}
	}
	return append(scripts, large("10.1.1 text of 64 KiB in frames of 1300 bytes", perFrame, 997, func() []step {
		p := pattern(65536, Text)
		return []step{sends(fragmented(Text, p, 1300)...).gets(message(Text, p))}
	}))
}
