package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"ws-fpm/config"
	"ws-fpm/control"
	"ws-fpm/fastcgi"
	"ws-fpm/fpm"
	"ws-fpm/php"
)

const (
	maxForm = 64 << 10 // bytes of what a page of the demo is sent; 413
	maxPage = 1 << 20  // bytes of what PHP answers; 502
)

// demoPages serves the page to send messages from and, with the examples, the
// chat below /chat/: files as they are, and its two ordinary PHP pages.
func demoPages(backend *fastcgi.Client, scripts demoScripts, api string, log *slog.Logger) http.Handler {
	page := readOnly(http.FileServerFS(examplePage()))
	chat := map[string]http.Handler{}
	if scripts.temp != "" {
		chat["/chat"] = http.RedirectHandler("/chat/", http.StatusMovedPermanently)
		chat["/chat/"] = chatFile("chat.html")
		for _, name := range []string{"chat.css", "chat.js", "chat.svg"} {
			chat["/chat/"+name] = chatFile(name)
		}
		for _, name := range []string{"chat-login.php", "chat-push.php"} {
			chat["/chat/"+name] = &phpPage{backend, filepath.Join(scripts.temp, "examples", name), api, log}
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
			"connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		if c := chat[r.URL.Path]; c != nil {
			c.ServeHTTP(w, r)
			return
		}
		page.ServeHTTP(w, r)
	})
}

// readOnly lets through GET and HEAD alone.
func readOnly(files http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		files.ServeHTTP(w, r)
	})
}

// chatFile serves one of the chat's files.
func chatFile(name string) http.Handler {
	return readOnly(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, php.Files, "examples/"+name)
	}))
}

// A phpPage is one script that answers ordinary requests, as a web server would
// have it do.
type phpPage struct {
	backend *fastcgi.Client
	script  string
	api     string // WS_API, which a web server would set with fastcgi_param
	log     *slog.Logger
}

func (p *phpPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if err != nil {
		status := http.StatusBadRequest
		if _, is := errors.AsType[*http.MaxBytesError](err); is {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, "the form is cut short or too long", status)
		return
	}
	params, err := p.params(r)
	if err != nil {
		http.Error(w, "a header that PHP cannot be given", http.StatusBadRequest)
		return
	}
	answer, err := p.backend.Do(r.Context(), &fastcgi.Request{Params: []fastcgi.Params{params}, Body: body})
	if err == nil {
		defer answer.Close()
		body, err = answer.AppendBody(nil, maxPage)
	}
	if err != nil {
		p.log.Warn("no answer for a page", "script", p.script, "error", err)
		http.Error(w, "no answer from PHP", http.StatusBadGateway)
		return
	}
	if stderr, _ := answer.Stderr(); len(stderr) > 0 {
		p.log.Warn("PHP has complained", "script", p.script, "stderr", strings.TrimSpace(string(stderr)))
	}
	for _, f := range answer.Header {
		w.Header().Add(f.Name, f.Value)
	}
	w.WriteHeader(answer.Status)
	w.Write(body)
}

// params tells PHP what these pages ask for, and nothing else of the request.
func (p *phpPage) params(r *http.Request) (params fastcgi.Params, err error) {
	name := "/chat/" + filepath.Base(p.script)
	for _, pair := range [][2]string{
		{"SCRIPT_FILENAME", p.script},
		{"SCRIPT_NAME", name},
		{"REQUEST_URI", name},
		{"QUERY_STRING", ""},
		{"SERVER_PROTOCOL", "HTTP/1.1"},
		{"GATEWAY_INTERFACE", "CGI/1.1"},
		{"REDIRECT_STATUS", "200"},
		{"WS_API", p.api},
		{"CONTENT_TYPE", r.Header.Get("Content-Type")},
		{"HTTP_COOKIE", strings.Join(r.Header["Cookie"], "; ")},
		{"HTTP_SEC_FETCH_SITE", r.Header.Get("Sec-Fetch-Site")},
	} {
		if pair[1] == "" && pair[0] != "QUERY_STRING" {
			continue // absent, as PHP would find it
		}
		if params, err = fastcgi.AppendParam(params, pair[0], pair[1]); err != nil {
			return nil, err
		}
	}
	return params, nil
}

// openControl serves the control API on a unix socket that PHP and whoever has
// started the demo can use.
func (d *demonstration) openControl(ctx context.Context, php *fpm.Server, log *slog.Logger) (err error) {
	d.control, err = control.New(control.Options{
		Connections: connections{d.gateway},
		Ready:       func() error { return nil },
		Logger:      log,
	})
	if err != nil {
		return err
	}
	path := strings.TrimPrefix(d.api, "unix:")
	l, err := listenPlain(ctx, config.Listener{Network: "unix", Address: path, Mode: 0o600})
	if err != nil {
		return err
	}
	if uid := php.UID(); uid != os.Geteuid() {
		if err := os.Chown(path, uid, -1); err != nil {
			l.Close()
			return err
		}
	}
	go func() { d.private <- d.control.Serve(l) }()
	return nil
}
