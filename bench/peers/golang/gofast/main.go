// Command gofast is a gateway as one is written in an hour: gorilla/websocket
// beside yookoala/gofast, with what their documentation shows first.
package main

import (
	"bytes"
	"flag"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/gorilla/websocket"
	"github.com/yookoala/gofast"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "`address`, host:port")
	socket := flag.String("php", "/tmp/ws-fpm-bench.sock", "php-fpm's unix socket")
	script := flag.String("script", "/none.php", "SCRIPT_FILENAME")
	flag.Int("conns", 0, "not used: each message opens a connection")
	flag.Parse()
	php := gofast.NewHandler(
		gofast.NewFileEndpoint(*script)(gofast.BasicSession),
		gofast.SimpleClientFactory(gofast.SimpleConnFactory("unix", *socket)),
	)
	upgrader := websocket.Upgrader{}
	log.Fatal(http.ListenAndServe(*listen, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			kind, message, err := conn.ReadMessage()
			if err != nil {
				return
			}
			request := r.Clone(r.Context())
			request.Method = http.MethodPost
			request.Body = io.NopCloser(bytes.NewReader(message))
			request.ContentLength = int64(len(message))
			answer := httptest.NewRecorder()
			php.ServeHTTP(answer, request)
			if err := conn.WriteMessage(kind, answer.Body.Bytes()); err != nil {
				return
			}
		}
	})))
}
