// Command gws is a gateway of lxzan/gws and a lean FastCGI client.
package main

import (
	"log"
	"net/http"

	"github.com/lxzan/gws"

	"ws-fpm/bench/peers/golang/lean"
)

// handler asks php-fpm from the goroutine that reads.
type handler struct {
	gws.BuiltinEventHandler
	php *lean.Client
}

func (h *handler) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	err := h.php.Do(message.Bytes(), func(answer []byte) error {
		return socket.WriteMessage(message.Opcode, answer)
	})
	if err != nil {
		log.Print(err)
		socket.WriteClose(1011, nil)
	}
}

func main() {
	listen, php := lean.Flags()
	upgrader := gws.NewUpgrader(&handler{php: php}, &gws.ServerOption{})
	log.Fatal(http.ListenAndServe(listen, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		socket, err := upgrader.Upgrade(w, r)
		if err != nil {
			return
		}
		go socket.ReadLoop() // so that net/http can let go of what it has read
	})))
}
