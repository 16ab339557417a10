package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"ws-fpm/config"
	"ws-fpm/control"
)

const (
	// defaultConfig tells where to push to if nothing else does.
	defaultConfig = "/etc/ws-fpm/ws-fpm.conf"

	// pushTimeout bounds one push: a connect, the request and its answer.
	pushTimeout = 30 * time.Second

	// maxPush is the longest message, in bytes: what the API takes.
	maxPush = 1 << 20
)

// A pushing is what the command line asks for.
type pushing struct {
	config, api, tokenFile    string
	channel, connection, user string
	exclude                   string
	binary, quiet             bool
}

// push is the command of that name: a message goes to a connection, to a user's
// connections or to a channel, over the control API.
func push(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	var p pushing
	flags := flag.NewFlagSet("push", flag.ContinueOnError)
	flags.StringVar(&p.config, "config", "", "the configuration `FILE` of the server; by default $WS_API, else "+defaultConfig)
	flags.StringVar(&p.api, "api", "", "the `ADDRESS` of its control API: a unix socket or an http:// URL")
	flags.StringVar(&p.tokenFile, "token-file", "", "the `FILE` with the API's token; by default the configuration's, or with -api or $WS_API $WS_API_TOKEN_FILE")
	flags.StringVar(&p.channel, "channel", "", "to all that listen to the channel `NAME`")
	flags.StringVar(&p.connection, "connection", "", "to the connection `ID`")
	flags.StringVar(&p.user, "user", "", "to all connections of the user `ID`")
	flags.StringVar(&p.exclude, "exclude", "", "but, of a channel, not to the connection `ID`")
	flags.BoolVar(&p.binary, "binary", false, "as a binary message, not as text")
	flags.BoolVar(&p.quiet, "q", false, "say nothing if it went well")
	if err := parseFlags(flags, args, stderr, 1); err != nil {
		return err
	}
	target, problem := p.target()
	if problem != "" {
		fmt.Fprintf(stderr, "ws-fpm push: %s\n", problem)
		return errUsage
	}
	api, token, err := p.findAPI(os.Getenv("WS_API"), os.Getenv("WS_API_TOKEN_FILE"))
	if err != nil {
		return err
	}
	message, err := p.message(flags.Args(), stdin)
	if err != nil {
		return err
	}
	said, err := post(ctx, api, target, token, message, p.binary)
	if err == nil && !p.quiet {
		fmt.Fprintln(stdout, said)
	}
	return err
}

// target is the path and query of the request.
func (p *pushing) target() (target, problem string) {
	targets := 0
	for _, t := range []struct{ name, path string }{{p.channel, "/channels/"}, {p.connection, "/connections/"}, {p.user, "/users/"}} {
		if t.name != "" {
			targets++
			target = t.path + escapeSegment(t.name)
		}
	}
	switch {
	case targets != 1:
		return "", "want one of -channel NAME, -connection ID and -user ID"
	case p.exclude != "" && p.channel == "":
		return "", "want -exclude with -channel only"
	case p.config != "" && p.api != "":
		return "", "want -config or -api, not both"
	case p.exclude != "":
		target += "?exclude=" + url.QueryEscape(p.exclude)
	}
	return target, ""
}

// escapeSegment makes name one segment of a path. url.PathEscape leaves dots as
// they are, and then "." and ".." would be no segments but ways (RFC 3986,
// section 5.2.4).
func escapeSegment(name string) string {
	if name == "." || name == ".." {
		return strings.ReplaceAll(name, ".", "%2E")
	}
	return url.PathEscape(name)
}

// findAPI gives the address of the API, and the token if there is one. Told and
// toldToken are what the environment says, as it does to PHP.
func (p *pushing) findAPI(told, toldToken string) (api, token string, err error) {
	api = p.api
	if api == "" && p.config == "" {
		api = told
	}
	file := p.tokenFile
	if file == "" && api != "" {
		file = toldToken
	}
	if api == "" {
		c, err := p.readConfig()
		if err != nil {
			return "", "", err
		}
		// Not c.API, which says how others get there.
		if api = "http://" + c.Address; c.Network == "unix" {
			api = "unix:" + c.Address
		}
		if file == "" {
			file = c.TokenFile
		}
	}
	if file == "" {
		return api, "", nil
	}
	token, err = control.ReadToken(file)
	return api, token, err
}

func (p *pushing) readConfig() (*config.Control, error) {
	file := p.config
	if file == "" {
		file = defaultConfig
	}
	c, err := config.Load(file)
	switch {
	case p.config == "" && errors.Is(err, fs.ErrNotExist):
		return nil, usageError{errors.New("ws-fpm push: want -config FILE or -api ADDRESS, or WS_API in the environment: there is no " + defaultConfig)}
	case err != nil:
		return nil, usageError{err}
	case c.Control == nil:
		return nil, usageError{fmt.Errorf("%s: want a section [control] with a line listen: that is what messages are pushed to", file)}
	}
	return c.Control, nil
}

// message is the argument, or else what comes on stdin. A text there loses the
// end of its last line, which echo adds.
func (p *pushing) message(args []string, stdin io.Reader) ([]byte, error) {
	if len(args) == 1 {
		return []byte(args[0]), nil
	}
	b, err := io.ReadAll(io.LimitReader(stdin, maxPush+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the message: %w", err)
	case len(b) > maxPush:
		return nil, errors.New("the message is longer than 1 MiB")
	case !p.binary:
		b = bytes.TrimSuffix(b, []byte("\n"))
	}
	return b, nil
}

// post sends the message and says what came of it.
func post(ctx context.Context, api, target, token string, message []byte, binary bool) (said string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, pushTimeout, errors.New("timed out"))
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true}
	base := strings.TrimSuffix(api, "/")
	if path := strings.TrimPrefix(api, "unix:"); strings.HasPrefix(path, "/") {
		base = "http://localhost"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	}
	if !strings.HasPrefix(base, "http://") && !strings.HasPrefix(base, "https://") {
		return "", badAPI(api)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+target, bytes.NewReader(message))
	if err != nil {
		return "", badAPI(api)
	}
	request.Header.Set("Content-Type", "text/plain; charset=utf-8")
	if binary {
		request.Header.Set("Content-Type", "application/octet-stream")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := transport.RoundTrip(request) // no redirection is followed: it would take the token along
	if err != nil {
		return "", fmt.Errorf("no answer from the control API at %s: %w", api, err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return "", fmt.Errorf("reading the answer of %s: %w", api, err)
	}
	return outcomeOf(response.StatusCode, b)
}

func badAPI(api string) error {
	return usageError{fmt.Errorf("ws-fpm push: the address %q of the control API: want a unix socket, such as unix:/run/ws-fpm/control.sock, or an http:// URL", api)}
}

// outcomeOf puts an answer of the API into words.
func outcomeOf(status int, body []byte) (said string, err error) {
	var answer struct {
		Delivered int
		Error     string
	}
	json.Unmarshal(body, &answer) // what is none leaves it empty
	switch {
	case status == http.StatusNoContent:
		return "delivered to the connection", nil
	case status == http.StatusOK && answer.Delivered == 1:
		return "delivered to 1 connection", nil
	case status == http.StatusOK:
		return fmt.Sprintf("delivered to %d connections", answer.Delivered), nil
	case status == http.StatusUnauthorized:
		return "", errors.New("the control API wants its token: -token-file FILE, or WS_API_TOKEN_FILE in the environment")
	case answer.Error != "":
		return "", errors.New(answer.Error)
	}
	return "", fmt.Errorf("the control API answers %d", status)
}
