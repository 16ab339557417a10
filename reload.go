package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"ws-fpm/config"
	"ws-fpm/control"
	"ws-fpm/gateway"
	"ws-fpm/metrics"
)

// How a reload ends. All but the first leave everything as it was.
const (
	reloadApplied       = "applied"
	reloadConfiguration = "configuration" // the file has a fault
	reloadCertificate   = "certificate"   // one of those it names cannot be used
	reloadControl       = "control"       // nor can its token, or it names no user or group of this system
	reloadDraining      = "draining"      // this process is about to end
)

var reloadResults = [...]string{reloadApplied, reloadConfiguration, reloadCertificate, reloadControl, reloadDraining}

// A reloader reads the configuration file again and puts it in force. One
// goroutine uses it; config alone is for all.
type reloader struct {
	file         string
	log          *slog.Logger
	level        *slog.LevelVar
	gateway      *gateway.Gateway
	pools        *pools
	certificates certificates
	private      *private // nil: no control API
	count        map[string]*metrics.Counter

	config   atomic.Pointer[config.Config] // what is in force, but for what takes a restart
	started  config.Settings               // what the process began with
	settings config.Settings               // what was last put in force
}

func newReloadCounters(r *metrics.Registry) map[string]*metrics.Counter {
	counters := map[string]*metrics.Counter{}
	for _, result := range reloadResults {
		counters[result] = r.Counter("ws_fpm_reloads_total", "Reloads of the configuration by result; all but applied changed nothing.",
			metrics.Label{Name: "result", Value: result})
	}
	return counters
}

// A plan is a configuration with all of it that can fail done.
type plan struct {
	config   *config.Config
	settings config.Settings
	pairs    map[string]*tls.Certificate // by listener
	access   *control.Access             // nil: as it is
	pools    poolSet
}

// A settingError is a fault of a value that is found when it is used.
type settingError struct {
	section, key string
	err          error
}

func (e *settingError) Error() string { return e.section + " " + e.key + ": " + e.err.Error() }
func (e *settingError) Unwrap() error { return e.err }

// located says of a settingError where in the file the value stands.
func located(s config.Settings, err error) error {
	if e, is := errors.AsType[*settingError](err); is {
		return fmt.Errorf("%s: %w", s.Where(e.section, e.key), e.err)
	}
	return err
}

// reload takes over the file as it is now, or nothing of it.
func (r *reloader) reload() (ok bool) {
	next, result, err := r.prepare()
	if err == nil {
		result, err = r.apply(next)
	}
	r.count[result].Inc()
	if err == nil {
		r.logReload(next)
		return true
	}
	err = located(next.settings, err)
	log := everyRecord(r.log)
	for fault := range strings.Lines(err.Error()) {
		log.Error("reload refused", "fault", strings.TrimSuffix(fault, "\n"))
	}
	log.Error("nothing has changed: the configuration of before stays in force", "file", r.file)
	return false
}

// prepare reads the file and all that it names. It changes nothing.
func (r *reloader) prepare() (next plan, result string, err error) {
	if next.config, next.settings, err = config.Read(r.file); err != nil {
		return plan{}, reloadConfiguration, err
	}
	next.pairs = map[string]*tls.Certificate{}
	for _, l := range next.config.Listeners {
		if r.certificates[l.Name] == nil {
			continue // there is no such listener before a restart
		}
		if next.pairs[l.Name], err = loadPair(l); err != nil {
			return next, reloadCertificate, err
		}
	}
	if r.hasControlAt(next.config.Control) {
		access, err := controlAccess(next.config.Control)
		if err != nil {
			return next, reloadControl, err
		}
		next.access = &access
	} else {
		next.config.Control = r.config.Load().Control
	}
	if next.pools, err = r.pools.prepare(next.config.Pools); err != nil {
		return next, reloadConfiguration, err
	}
	return next, "", nil
}

// hasControlAt reports whether the control API is served where c has it. If it is
// not, all of the section waits for a restart: neither who may use another
// address, nor where PHP is to look for it, is true of this one.
func (r *reloader) hasControlAt(c *config.Control) bool {
	now := r.config.Load().Control
	return r.private != nil && c != nil && c.Network == now.Network && c.Address == now.Address
}

// apply puts next in force.
func (r *reloader) apply(next plan) (result string, err error) {
	if next.access != nil {
		if err := r.private.server.SetAccess(*next.access); err != nil {
			return reloadControl, err
		}
	}
	if err := r.gateway.Reconfigure(gatewayOptions(next.config, next.pools, r.log)); err != nil {
		if next.access != nil {
			err = errors.Join(err, r.private.server.SetAccess(r.private.access))
		}
		if errors.Is(err, gateway.ErrDraining) {
			return reloadDraining, err
		}
		return reloadConfiguration, err
	}
	if next.access != nil {
		r.private.access = *next.access
	}
	for name, pair := range next.pairs {
		r.certificates[name].pair.Store(pair)
	}
	r.level.Set(next.config.LogLevel)
	r.config.Store(next.config)
	r.pools.use(next.pools, r.gateway.Uses)
	return reloadApplied, nil
}

// logReload says what is new, and what of the file is still to come.
func (r *reloader) logReload(next plan) {
	log := everyRecord(r.log)
	for _, c := range next.settings.Since(r.started) {
		if c.Reload == config.Restart {
			log.Warn("this takes a restart; until then it stays as it was", "setting", c.String(), "line", c.Line)
		}
	}
	for _, l := range next.config.Listeners {
		warnOfExpiry(log, l, next.pairs[l.Name])
	}
	var changed []string
	for _, c := range next.settings.Since(r.settings) {
		if c.Reload != config.Restart {
			changed = append(changed, c.String())
		}
	}
	r.settings = next.settings
	log.Info("reloaded", "file", r.file, "changed", strings.Join(changed, ", "))
}

// refuse is for a reload that comes when everything ends.
func (r *reloader) refuse() {
	r.count[reloadDraining].Inc()
	r.log.Warn("reload refused: this process is stopping")
}
