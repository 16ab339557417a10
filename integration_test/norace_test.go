//go:build !race

package integration_test

// raced says that the race detector watches these tests.
const raced = false
