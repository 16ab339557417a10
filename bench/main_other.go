//go:build !linux

// Command bench measures a running WebSocket echo server. It needs Linux, for
// epoll and /proc.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: needs Linux")
	os.Exit(1)
}
