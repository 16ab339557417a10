package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"ws-fpm/config"
	"ws-fpm/fastcgi"
)

// Pools are the clients of php-fpm: those of the configuration in force, and
// those that it has replaced and that still have something to do.
type pools struct {
	log     *slog.Logger
	closing sync.WaitGroup // clients that are being closed

	mu      sync.Mutex // guards what follows
	inForce poolSet
	leaving map[*fastcgi.Client]*leaving
	past    map[string]fastcgi.Stats // what those that have gone have counted
}

// A poolSet is the pools of one configuration by name.
type poolSet map[string]pool

type pool struct {
	config config.Pool
	client *fastcgi.Client
}

// A leaving is a client that was replaced.
type leaving struct {
	pool    string
	closing bool
}

// newPools makes a client for each pool.
func newPools(list []config.Pool, log *slog.Logger) (*pools, error) {
	p := &pools{log: log, leaving: map[*fastcgi.Client]*leaving{}, past: map[string]fastcgi.Stats{}}
	set, err := p.prepare(list)
	p.inForce = set
	return p, err
}

// prepare gives the pools of another configuration: those that are in it as
// they were keep their client.
func (p *pools) prepare(list []config.Pool) (poolSet, error) {
	set := poolSet{}
	for _, c := range list {
		if now, ok := p.set()[c.Name]; ok && now.config == c {
			set[c.Name] = now
			continue
		}
		client, err := newClient(c)
		if err != nil {
			return nil, fmt.Errorf("pool %s: %w", c.Name, err)
		}
		set[c.Name] = pool{c, client}
	}
	return set, nil
}

func newClient(p config.Pool) (*fastcgi.Client, error) {
	return fastcgi.New(fastcgi.Options{
		Network:        p.Network,
		Address:        p.Address,
		MaxConns:       p.MaxConns,
		MaxStreams:     p.MaxStreams,
		KeepAlive:      p.KeepAlive,
		KeepAliveBody:  int(p.KeepAliveBody),
		ConnectTimeout: p.ConnectTimeout,
		Timeout:        p.Timeout,
		StreamTimeout:  p.StreamTimeout,
		MaxStream:      p.MaxStream,
		Queue:          p.Queue,
		QueueTimeout:   p.QueueTimeout,
		Multiplex:      p.Multiplex,
	})
}

// set is the pools in force.
func (p *pools) set() poolSet {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inForce
}

// use puts set in force. A client that is replaced ends the requests that it
// has, and is closed, unless somebody uses it: then it is asked about again the
// next time.
func (p *pools) use(set poolSet, used func(*fastcgi.Client) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, old := range p.inForce {
		if set[name].client != old.client {
			p.leaving[old.client] = &leaving{pool: name}
		}
	}
	p.inForce = set
	for client, l := range p.leaving {
		if !l.closing && !used(client) {
			l.closing = true
			p.closing.Go(func() { p.leave(client) })
		}
	}
	for name := range p.past {
		if _, configured := set[name]; !configured {
			delete(p.past, name) // nobody counts for it any more
		}
	}
}

// leave closes a client when it has no request left, which each one's timeout
// bounds, and the end of the program.
func (p *pools) leave(client *fastcgi.Client) {
	client.Close(context.Background())
	p.mu.Lock()
	defer p.mu.Unlock()
	name := p.leaving[client].pool
	delete(p.leaving, client)
	if _, configured := p.inForce[name]; configured {
		p.past[name] = p.past[name].Add(client.Stats())
	}
}

// stats gives what all clients of each pool have counted, those included that
// were replaced: a counter does not go back.
func (p *pools) stats() map[string]fastcgi.Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[string]fastcgi.Stats{}
	for name, one := range p.inForce {
		all[name] = one.client.Stats().Add(p.past[name])
	}
	for client, l := range p.leaving {
		all[l.pool] = all[l.pool].Add(client.Stats())
	}
	return all
}

// close lets requests in hand end until ctx ends.
func (p *pools) close(ctx context.Context) {
	p.mu.Lock()
	var clients []*fastcgi.Client
	for _, one := range p.inForce {
		clients = append(clients, one.client)
	}
	for client := range p.leaving {
		clients = append(clients, client)
	}
	p.mu.Unlock()
	for _, client := range clients {
		if err := client.Close(ctx); err != nil {
			p.log.Warn("stopped before php-fpm had answered", "reason", err)
		}
	}
	p.closing.Wait()
}
