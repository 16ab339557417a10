package control

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

// A row is one line of the API: what a method means on a path. A path is a
// pattern of http.ServeMux without a method.
type row struct {
	method, path string
	serve        http.HandlerFunc
}

// newMux serves rows. GET is HEAD as well. Another method on a path that there
// is gives 405 and says which ones there are; another path gives 404, and never
// a redirection to one that is like it.
func newMux(rows []row) http.Handler {
	methods := map[string]map[string]http.HandlerFunc{}
	for _, r := range rows {
		if methods[r.path] == nil {
			methods[r.path] = map[string]http.HandlerFunc{}
		}
		methods[r.path][r.method] = r.serve
		if r.method == http.MethodGet {
			methods[r.path][http.MethodHead] = r.serve
		}
	}
	mux := http.NewServeMux()
	for pattern, serve := range methods {
		var allowed []string
		for method := range serve {
			allowed = append(allowed, method)
		}
		slices.Sort(allowed)
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if serve[r.Method] == nil {
				w.Header().Set("Allow", strings.Join(allowed, ", "))
				fail(w, http.StatusMethodNotAllowed, "method: want "+strings.Join(allowed, " or "))
				return
			}
			serve[r.Method](w, r)
		})
	}
	notFound := func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "path: there is no such thing")
	}
	mux.HandleFunc("/", notFound)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := r.URL.EscapedPath(); !strings.HasPrefix(p, "/") || path.Clean(p) != p {
			if strings.HasPrefix(p, "/channels/") {
				fail(w, http.StatusBadRequest, checkChannel("")) // a name like this there is not
				return
			}
			notFound(w, r) // ServeMux would tidy it up
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// values gives the query of r.
func values(r *http.Request) (query map[string][]string, problem string) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, "query: malformed"
	}
	return query, ""
}

// An answer remembers its status.
type answer struct {
	http.ResponseWriter
	status int
}

func (a *answer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	return a.ResponseWriter.Write(b)
}

// fail answers with an error. Text begins with the name of the field at fault.
func fail(w http.ResponseWriter, status int, text string) {
	writeJSON(w, status, struct {
		Error string `json:"error"`
	}{text})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(b, '\n')) // a caller that has gone needs no answer
}
