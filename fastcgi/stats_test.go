package fastcgi

import (
	"reflect"
	"testing"
)

// Every figure is added, those that come later as well.
func TestStatsAdd(t *testing.T) {
	var a, b, want Stats
	for i := range reflect.TypeFor[Stats]().NumField() {
		for n, s := range map[int]*Stats{i + 1: &a, 1000: &b, 1001 + i: &want} {
			f := reflect.ValueOf(s).Elem().Field(i)
			if f.CanUint() {
				f.SetUint(uint64(n))
			} else {
				f.SetInt(int64(n))
			}
		}
	}
	if got := a.Add(b); got != want {
		t.Errorf("got %+v; want %+v", got, want)
	}
}
