// Command gorilla is a gateway of gorilla/websocket and a lean FastCGI client.
package main

import (
	"log"
	"net/http"

	"github.com/gorilla/websocket"

	"ws-fpm/bench/peers/golang/lean"
)

func main() {
	listen, php := lean.Flags()
	upgrader := websocket.Upgrader{}
	log.Fatal(http.ListenAndServe(listen, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		socket, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer socket.Close()
		for {
			kind, message, err := socket.ReadMessage()
			if err != nil {
				return
			}
			err = php.Do(message, func(answer []byte) error { return socket.WriteMessage(kind, answer) })
			if err != nil {
				log.Print(err)
				return
			}
		}
	})))
}
