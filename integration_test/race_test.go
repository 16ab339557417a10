//go:build race

package integration_test

// raced says that the race detector watches these tests; the binary they
// build is then watched too.
const raced = true
