package fastcgi

import "strings"

// A Field is one line of a reply's head.
type Field struct{ Name, Value string }

// A Header holds the fields of a reply in the order PHP sent them, repeated
// ones included.
type Header []Field

// Get returns the value of the first field called name, in any case, or "".
func (h Header) Get(name string) string {
	for i := range h {
		if strings.EqualFold(h[i].Name, name) {
			return h[i].Value
		}
	}
	return ""
}

// Values returns the values of all fields called name, in any case.
func (h Header) Values(name string) []string {
	var vs []string
	for i := range h {
		if strings.EqualFold(h[i].Name, name) {
			vs = append(vs, h[i].Value)
		}
	}
	return vs
}
