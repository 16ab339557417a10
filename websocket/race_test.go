//go:build race

package websocket

// raced says that the race detector watches: large copies take ten times as
// long then, so that long rows are played in one way only.
const raced = true
