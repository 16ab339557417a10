//go:build !linux

package main

// monotonicMicros is zero: there is no manager that asks for it.
func monotonicMicros() int64 { return 0 }
