package control

import (
	"cmp"
	"net/http"
)

// userRows are what the API does to all connections of a user.
func (s *Server) userRows() []row {
	return []row{
		{http.MethodPost, "/users/{id}", s.sendToUser},
		{http.MethodDelete, "/users/{id}", s.closeUser},
	}
}

func (s *Server) sendToUser(w http.ResponseWriter, r *http.Request) {
	user := r.PathValue("id")
	v, malformed := values(r)
	_, problem := parseQuery(v)
	m, wrong := message(r)
	if problem = cmp.Or(checkUser(user), malformed, problem, wrong); problem != "" {
		fail(w, http.StatusBadRequest, problem)
		return
	}
	delivered(w, s.opts.Connections.SendToUser(user, m))
}

// closeUser is for who has signed out, or is not to be let in any more.
func (s *Server) closeUser(w http.ResponseWriter, r *http.Request) {
	user := r.PathValue("id")
	v, malformed := values(r)
	code, reason, problem := parseClosing(v)
	if problem = cmp.Or(checkUser(user), malformed, problem); problem != "" {
		fail(w, http.StatusBadRequest, problem)
		return
	}
	writeJSON(w, http.StatusOK, struct {
		Closed int `json:"closed"`
	}{s.opts.Connections.CloseUser(user, code, reason)})
}
