package control

import (
	"cmp"
	"net/http"
	"unicode/utf8"
)

// channelRows are what the API shows and does of channels. A name may hold
// slashes, as they are or escaped.
func (s *Server) channelRows() []row {
	return []row{
		{http.MethodGet, "/channels", s.listChannels},
		{http.MethodGet, "/channels/{name...}", s.showChannel},
		{http.MethodPost, "/channels/{name...}", s.publish},
	}
}

// listChannels gives names and how many listen.
func (s *Server) listChannels(w http.ResponseWriter, r *http.Request) {
	v, malformed := values(r)
	query, limit, problem := parseList(v, "prefix")
	if problem = cmp.Or(malformed, problem, checkPrefix(query["prefix"])); problem != "" {
		fail(w, http.StatusBadRequest, problem)
		return
	}
	list, total := s.opts.Connections.Channels(query["prefix"], limit)
	if list == nil {
		list = []Channel{}
	}
	writeJSON(w, http.StatusOK, struct {
		Channels []Channel `json:"channels"`
		Total    int       `json:"total"`
	}{list, total})
}

// showChannel says who listens. A channel that nobody listens to is no
// different from one that there never was.
func (s *Server) showChannel(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	v, malformed := values(r)
	_, limit, problem := parseList(v)
	if problem = cmp.Or(checkChannel(name), malformed, problem); problem != "" {
		fail(w, http.StatusBadRequest, problem)
		return
	}
	list, total := s.opts.Connections.List("", name, limit)
	ids := make([]string, len(list))
	for i, c := range list {
		ids[i] = c.ID
	}
	writeJSON(w, http.StatusOK, struct {
		Name        string   `json:"name"`
		Connections []string `json:"connections"`
		Total       int      `json:"total"`
	}{name, ids, total})
}

// publish sends the body to all who listen.
func (s *Server) publish(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	v, malformed := values(r)
	query, problem := parseQuery(v, "exclude")
	if exclude, given := query["exclude"]; given && checkID(exclude) != "" {
		problem = "exclude: want 32 lowercase hexadecimal digits"
	}
	m, wrong := message(r)
	if problem = cmp.Or(checkChannel(name), malformed, problem, wrong); problem != "" {
		fail(w, http.StatusBadRequest, problem)
		return
	}
	delivered(w, s.opts.Connections.Publish(name, query["exclude"], m))
}

// delivered says to how many a message was handed.
func delivered(w http.ResponseWriter, n int) {
	writeJSON(w, http.StatusOK, struct {
		Delivered int `json:"delivered"`
	}{n})
}

// message gives the message that the body of r is.
func message(r *http.Request) (m Message, problem string) {
	types := r.Header["Content-Type"]
	if len(types) > 1 {
		return Message{}, "Content-Type: want it once"
	}
	m = Message{Text: len(types) == 0 || textual(types[0]), Body: r.Body.(wholeBody).bytes}
	if m.Text && !utf8.Valid(m.Body) {
		return Message{}, "body: want UTF-8, or Content-Type: application/octet-stream"
	}
	return m, ""
}
