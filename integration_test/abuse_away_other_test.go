//go:build !linux

package integration_test

import (
	"errors"
	"net"
	"testing"
)

// An away is a network of its own, which only Linux has.
type away struct{ home string }

func newAway(testing.TB) (*away, error) { return nil, errors.ErrUnsupported }

func (*away) dial(string) (net.Conn, error) { return nil, errors.ErrUnsupported }

func (*away) pull() {}
