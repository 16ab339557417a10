//go:build !linux

package fastcgi

// armQuickAck does nothing: only Linux has TCP_QUICKACK.
func armQuickAck(uintptr) {}
