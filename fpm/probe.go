package fpm

import (
	"context"
	"errors"
	"io"
	"net"
	"time"
)

const (
	probeTimeout  = time.Second           // of one question
	probeInterval = 10 * time.Millisecond // between two
)

// getValues is the record FCGI_GET_VALUES (FastCGI 1.0 section 4.1) that asks
// for FCGI_MPXS_CONNS. A worker answers it itself without running a script.
const getValues = "\x01\x09\x00\x00\x00\x11\x00\x00" + "\x0f\x00FCGI_MPXS_CONNS"

const typeGetValuesResult = 10

var errNotFastCGI = errors.New("fpm: the answer is not a FastCGI record")

// ready waits until a worker answers at the address, or until ctx ends.
func ready(ctx context.Context, network, address string) error {
	for {
		err := probe(ctx, network, address)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(probeInterval):
		}
	}
}

// probe asks once. PHP up to 8.1 closes the connection after its answer.
func probe(ctx context.Context, network, address string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	if _, err := io.WriteString(conn, getValues); err != nil {
		return err
	}
	var header [8]byte
	if _, err := io.ReadFull(conn, header[:]); err != nil {
		return err
	}
	if header[0] != 1 || header[1] != typeGetValuesResult {
		return errNotFastCGI
	}
	return nil
}
