package control

import (
	"bytes"
	"io"
	"net/http"

	"ws-fpm/metrics"
)

// healthRows are what machines ask for all the time.
func (s *Server) healthRows() []row {
	return []row{
		{http.MethodGet, "/metrics", s.showMetrics},
		{http.MethodGet, "/healthz", s.showHealth},
		{http.MethodGet, "/readyz", s.showReady},
	}
}

// showMetrics writes them down for one caller at a time: asking for some of
// them stops the program for a moment, and many callers must not add up.
func (s *Server) showMetrics(w http.ResponseWriter, _ *http.Request) {
	var text bytes.Buffer
	s.writeMetrics(&text)
	w.Header().Set("Content-Type", metrics.ContentType)
	w.Write(text.Bytes())
}

func (s *Server) writeMetrics(text *bytes.Buffer) {
	s.scrape.Lock()
	defer s.scrape.Unlock()
	s.opts.Metrics.WriteText(text) // a Buffer has no errors
}

// showHealth says that the process is alive, whatever PHP does: starting it
// again would not help PHP.
func (s *Server) showHealth(w http.ResponseWriter, _ *http.Request) { ok(w) }

// showReady says whether this process should get traffic.
func (s *Server) showReady(w http.ResponseWriter, _ *http.Request) {
	if err := s.opts.Ready(); err != nil {
		fail(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	ok(w)
}

func ok(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, "ok\n")
}
