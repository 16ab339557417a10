package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os/user"
	"strconv"
	"sync"
	"time"

	"ws-fpm/config"
	"ws-fpm/control"
	"ws-fpm/gateway"
	"ws-fpm/metrics"
	"ws-fpm/websocket"
)

// A private is the control API as configured, with its listeners.
type private struct {
	server  *control.Server
	access  control.Access // that is in force
	api     net.Listener
	metrics net.Listener // nil: none
}

// openControl opens what [control] asks for; nil if c has no such section.
func openControl(ctx context.Context, c *config.Control, g *gateway.Gateway, pools func() []config.Pool,
	registry *metrics.Registry, log *slog.Logger) (*private, error) {
	if c == nil {
		return nil, nil
	}
	access, err := controlAccess(c)
	if err != nil {
		return nil, err
	}
	p := &private{access: access}
	p.server, err = control.New(control.Options{
		Connections: connections{g},
		Ready:       func() error { return ready(ctx, g, pools()) },
		Metrics:     registry,
		Access:      access,
		Logger:      log,
	})
	if err != nil {
		return nil, err
	}
	p.api, err = listenPlain(ctx, config.Listener{Network: c.Network, Address: c.Address, Mode: c.Mode, Group: c.Group})
	if err != nil {
		return nil, err
	}
	if c.MetricsAddress != "" {
		p.metrics, err = listenPlain(ctx, config.Listener{Network: c.MetricsNetwork, Address: c.MetricsAddress, Mode: 0o660})
		if err != nil {
			p.api.Close()
			return nil, err
		}
	}
	return p, nil
}

// privateStop is how long requests to the control API may take at the end.
const privateStop = 2 * time.Second

// serve serves until the server's Shutdown.
func (p *private) serve(serving *sync.WaitGroup, failed chan<- error) {
	serving.Go(func() {
		if err := p.server.Serve(p.api); err != nil {
			failed <- err
		}
	})
	if p.metrics != nil {
		serving.Go(func() {
			if err := p.server.ServeMetrics(p.metrics); err != nil {
				failed <- err
			}
		})
	}
}

// controlAccess says who may use the API: names become numbers, the token is
// read from its file.
func controlAccess(c *config.Control) (access control.Access, err error) {
	if c.TokenFile != "" {
		if access.Token, err = control.LoadToken(c.TokenFile); err != nil {
			return access, &settingError{"[control]", "token_file", err}
		}
	}
	for _, name := range c.AllowUsers {
		id, err := lookupID(name, func(name string) (string, error) {
			u, err := user.Lookup(name)
			if err != nil {
				return "", err
			}
			return u.Uid, nil
		})
		if err != nil {
			return access, &settingError{"[control]", "allow_users", err}
		}
		access.Allow.Users = append(access.Allow.Users, id)
	}
	for _, name := range c.AllowGroups {
		id, err := lookupID(name, func(name string) (string, error) {
			g, err := user.LookupGroup(name)
			if err != nil {
				return "", err
			}
			return g.Gid, nil
		})
		if err != nil {
			return access, &settingError{"[control]", "allow_groups", err}
		}
		access.Allow.Groups = append(access.Allow.Groups, id)
	}
	if u, err := url.Parse(c.API); err == nil && u.Hostname() != "" {
		access.Hosts = []string{u.Hostname()}
	}
	return access, nil
}

// lookupID gives the number that name is, or has.
func lookupID(name string, lookup func(string) (string, error)) (uint32, error) {
	if id, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(id), nil
	}
	s, err := lookup(name)
	if err != nil {
		return 0, err
	}
	id, err := strconv.ParseUint(s, 10, 32)
	return uint32(id), err
}

// ready gives the reason why this process should get no clients. It looks for
// itself whether php-fpm is there: who sends no clients to a process that is
// not ready would never learn of its recovery from them.
func ready(ctx context.Context, g *gateway.Gateway, pools []config.Pool) error {
	if g.Draining() {
		return errors.New("shutting down")
	}
	failures := make([]error, len(pools))
	var asking sync.WaitGroup
	for i, p := range pools {
		asking.Go(func() {
			if err := reach(ctx, p); err != nil {
				failures[i] = fmt.Errorf("pool %s: %w", p.Name, err)
			}
		})
	}
	asking.Wait()
	return errors.Join(failures...)
}

// connections shows the gateway's clients to the control API.
type connections struct{ gateway *gateway.Gateway }

func (c connections) Connection(id string) (control.Connection, bool) {
	found, ok := c.gateway.Connection(id)
	return control.Connection(found), ok
}

func (c connections) Send(id string, m control.Message) bool {
	return c.gateway.Send(id, opcode(m), m.Body)
}

func (c connections) Publish(channel, exclude string, m control.Message) (delivered int) {
	return c.gateway.Publish(channel, exclude, opcode(m), m.Body)
}

func (c connections) SendToUser(user string, m control.Message) (delivered int) {
	return c.gateway.SendToUser(user, opcode(m), m.Body)
}

func (c connections) CloseUser(user string, code uint16, reason string) (closed int) {
	return c.gateway.CloseUser(user, websocket.StatusCode(code), reason)
}

func (c connections) Channels(prefix string, most int) (list []control.Channel, total int) {
	found, total := c.gateway.Channels(prefix, most)
	for _, f := range found {
		list = append(list, control.Channel{Name: f.Name, Connections: f.Members})
	}
	return list, total
}

func (c connections) List(user, channel string, most int) (list []control.Connection, total int) {
	found, total := c.gateway.Connections(user, channel, most)
	for _, f := range found {
		list = append(list, control.Connection(f))
	}
	return list, total
}

func opcode(m control.Message) websocket.Opcode {
	if m.Text {
		return websocket.Text
	}
	return websocket.Binary
}

func (c connections) Disconnect(id string, code uint16, reason string) bool {
	return c.gateway.Disconnect(id, websocket.StatusCode(code), reason)
}
