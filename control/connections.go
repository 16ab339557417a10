package control

import (
	"net/http"
	"net/url"
)

// connectionRows are what the API shows and does of one connection.
func (s *Server) connectionRows() []row {
	return []row{
		{http.MethodGet, "/connections/{id}", s.showConnection},
		{http.MethodDelete, "/connections/{id}", s.closeConnection},
	}
}

// showConnection describes one connection.
func (s *Server) showConnection(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if problem := checkID(id); problem != "" {
		fail(w, http.StatusBadRequest, problem)
		return
	}
	c, ok := s.opts.Connections.Connection(id)
	if !ok {
		gone(w)
		return
	}
	if c.Attributes == nil {
		c.Attributes = map[string]string{} // for JSON has no null objects
	}
	if c.Channels == nil {
		c.Channels = []string{}
	}
	writeJSON(w, http.StatusOK, struct {
		ID            string            `json:"id"`
		Since         int64             `json:"since"` // ms since the epoch, as PHP's WS_CONNECTED_AT
		Route         string            `json:"route"`
		User          string            `json:"user"`
		Attributes    map[string]string `json:"attributes"`
		Channels      []string          `json:"channels"`
		RemoteAddress string            `json:"remote_address"`
	}{id, c.Since.UnixMilli(), c.Route, c.User, c.Attributes, c.Channels, c.RemoteAddress})
}

// closeConnection closes one connection. What was sent to it before goes out
// first, as with a WS-Close of PHP.
func (s *Server) closeConnection(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if problem := checkID(id); problem != "" {
		fail(w, http.StatusBadRequest, problem)
		return
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		fail(w, http.StatusBadRequest, "query: malformed")
		return
	}
	code, reason, problem := parseClosing(query)
	if problem != "" {
		fail(w, http.StatusBadRequest, problem)
		return
	}
	if !s.opts.Connections.Disconnect(id, code, reason) {
		gone(w)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// gone answers for a connection that there is not. Ids are never used again
// and cannot be guessed, so whoever has one knows that there was.
func gone(w http.ResponseWriter) {
	fail(w, http.StatusGone, "id: this connection is gone")
}
