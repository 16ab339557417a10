package control

import (
	"cmp"
	"net/http"
	"time"
)

// batchTime bounds the work on a batch; what is not begun then is not done.
const batchTime = 10 * time.Second

func (s *Server) batchRows() []row {
	return []row{{http.MethodPost, "/batch", s.batch}}
}

// A result is what came of one operation: to how many connections a message was
// handed, or how many are being closed.
type result struct {
	Delivered *int   `json:"delivered,omitempty"`
	Closed    *int   `json:"closed,omitempty"`
	Error     string `json:"error,omitempty"`
}

// batch does several things, one after the other, in the order given.
func (s *Server) batch(w http.ResponseWriter, r *http.Request) {
	v, malformed := values(r)
	_, unknown := parseQuery(v)
	operations, problem := parseBatch(r.Body.(wholeBody).bytes)
	if problem = cmp.Or(malformed, unknown, problem); problem != "" {
		fail(w, http.StatusBadRequest, problem)
		return
	}
	end := time.Now().Add(batchTime)
	results := make([]result, len(operations))
	for i := range operations {
		if time.Now().After(end) {
			results[i] = result{Error: "operations: not done, for those before took 10 s"}
			continue
		}
		results[i] = s.operate(&operations[i])
	}
	writeJSON(w, http.StatusOK, struct {
		Results []result `json:"results"`
	}{results})
}

func (s *Server) operate(o *operation) result {
	to := s.opts.Connections
	n, found := 0, true
	switch {
	case o.Connection != nil && o.Close != nil:
		found = to.Disconnect(*o.Connection, o.Close.code(), o.Close.Reason)
	case o.Connection != nil:
		found = to.Send(*o.Connection, o.message())
	case o.User != nil && o.Close != nil:
		n = to.CloseUser(*o.User, o.Close.code(), o.Close.Reason)
	case o.User != nil:
		n = to.SendToUser(*o.User, o.message())
	default:
		exclude := ""
		if o.Exclude != nil {
			exclude = *o.Exclude
		}
		n = to.Publish(*o.Channel, exclude, o.message())
	}
	r := result{}
	if o.Connection != nil {
		if !found {
			r.Error = "connection: this connection is gone"
		} else {
			n = 1
		}
	}
	if o.Close != nil {
		r.Closed = &n
	} else {
		r.Delivered = &n
	}
	return r
}
