//go:build !linux

package main

// monotonic is for systemd, which only Linux has.
func monotonic() (field string, ok bool) { return "", false }
