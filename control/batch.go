package control

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxOperations is how many operations a batch may have.
const maxOperations = 1000

// An operation is one of a batch: for one of Connection, User and Channel, one
// of Text, Binary and Close.
type operation struct {
	Connection *string `json:"connection"`
	User       *string `json:"user"`
	Channel    *string `json:"channel"`
	Exclude    *string `json:"exclude"` // of a channel

	Text   *string  `json:"text"`
	Binary *[]byte  `json:"binary"` // base64
	Close  *closing `json:"close"`  // not of a channel
}

type closing struct {
	Code   *uint16 `json:"code"` // absent: 1000
	Reason string  `json:"reason"`
}

// parseBatch reads a batch: {"operations": [...]}. With any fault, none of it is
// done; the problem names the field.
func parseBatch(body []byte) (operations []operation, problem string) {
	if !utf8.Valid(body) {
		return nil, "body: want UTF-8" // else the decoder would mend it
	}
	var batch struct {
		Operations []operation `json:"operations"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err := d.Decode(&batch)
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return nil, `body: want {"operations":[...]}`
	case err != nil:
		return nil, "body: " + strings.TrimPrefix(err.Error(), "json: ")
	case !json.Valid(body):
		return nil, "body: want one JSON object and nothing behind it"
	case len(batch.Operations) == 0 || len(batch.Operations) > maxOperations:
		return nil, "operations: want 1 to 1000"
	}
	for i, o := range batch.Operations {
		if problem := o.check(); problem != "" {
			return nil, fmt.Sprintf("operations[%d].%s", i, problem)
		}
	}
	return batch.Operations, ""
}

// check says what is wrong with o, if anything is.
func (o *operation) check() (problem string) {
	switch {
	case count(o.Connection != nil, o.User != nil, o.Channel != nil) != 1:
		return "connection: want one of connection, user and channel"
	case count(o.Text != nil, o.Binary != nil, o.Close != nil) != 1:
		return "text: want one of text, binary and close"
	case o.Exclude != nil && o.Channel == nil:
		return "exclude: want it with channel only"
	case o.Exclude != nil && checkID(*o.Exclude) != "":
		return "exclude: want 32 lowercase hexadecimal digits"
	case o.Close != nil && o.Channel != nil:
		return "close: want it with connection or user only"
	case o.Close != nil && o.Close.Code != nil && !mayClose(*o.Close.Code):
		return "close.code: want 1000, 1008, 1011, 1013 or 3000 to 4999"
	case o.Close != nil && checkReason(o.Close.Reason) != "":
		return "close." + checkReason(o.Close.Reason)
	case o.Connection != nil && checkID(*o.Connection) != "":
		return "connection: want 32 lowercase hexadecimal digits"
	case o.User != nil:
		return checkUser(*o.User)
	case o.Channel != nil:
		return checkChannel(*o.Channel)
	}
	return ""
}

// count is how many of them hold.
func count(conditions ...bool) (n int) {
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}

// message is what o sends.
func (o *operation) message() Message {
	if o.Text != nil {
		return Message{Text: true, Body: []byte(*o.Text)}
	}
	return Message{Body: *o.Binary}
}

// code is what o closes with.
func (c *closing) code() uint16 {
	if c.Code == nil {
		return 1000
	}
	return *c.Code
}
