package control

import (
	"cmp"
	"net/http"
)

// connectionRows are what the API shows and does of one connection.
func (s *Server) connectionRows() []row {
	return []row{
		{http.MethodGet, "/connections", s.listConnections},
		{http.MethodGet, "/connections/{id}", s.showConnection},
		{http.MethodPost, "/connections/{id}", s.sendToConnection},
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
	writeJSON(w, http.StatusOK, shown(c))
}

// A connectionJSON is a connection as it is written.
type connectionJSON struct {
	ID            string            `json:"id"`
	Since         int64             `json:"since"` // ms since the epoch, as PHP's WS_CONNECTED_AT
	Route         string            `json:"route"`
	User          string            `json:"user"`
	Attributes    map[string]string `json:"attributes"`
	Channels      []string          `json:"channels"`
	RemoteAddress string            `json:"remote_address"`
}

func shown(c Connection) connectionJSON {
	if c.Attributes == nil {
		c.Attributes = map[string]string{} // for JSON has no null objects
	}
	if c.Channels == nil {
		c.Channels = []string{}
	}
	return connectionJSON{c.ID, c.Since.UnixMilli(), c.Route, c.User, c.Attributes, c.Channels, c.RemoteAddress}
}

// listConnections describes connections: all, or those of a user, or of a
// channel.
func (s *Server) listConnections(w http.ResponseWriter, r *http.Request) {
	v, problem := values(r)
	query, limit, wrong := parseList(v, "channel", "user")
	problem = cmp.Or(problem, wrong)
	if user, given := query["user"]; given {
		problem = cmp.Or(problem, checkUser(user))
	}
	if channel, given := query["channel"]; given {
		problem = cmp.Or(problem, checkChannel(channel))
	}
	if problem != "" {
		fail(w, http.StatusBadRequest, problem)
		return
	}
	list, total := s.opts.Connections.List(query["user"], query["channel"], limit)
	rows := make([]connectionJSON, len(list))
	for i, c := range list {
		rows[i] = shown(c)
	}
	writeJSON(w, http.StatusOK, struct {
		Connections []connectionJSON `json:"connections"`
		Total       int              `json:"total"`
	}{rows, total})
}

// sendToConnection sends the body.
func (s *Server) sendToConnection(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	v, malformed := values(r)
	_, unknown := parseQuery(v)
	m, wrong := message(r)
	if problem := cmp.Or(checkID(id), malformed, unknown, wrong); problem != "" {
		fail(w, http.StatusBadRequest, problem)
		return
	}
	if !s.opts.Connections.Send(id, m) {
		gone(w)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// closeConnection closes one connection. What was sent to it before goes out
// first, as with a WS-Close of PHP.
func (s *Server) closeConnection(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	v, malformed := values(r)
	code, reason, problem := parseClosing(v)
	if problem := cmp.Or(checkID(id), malformed, problem); problem != "" {
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
