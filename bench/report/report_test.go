package report

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"ws-fpm/bench/load"
)

func TestQuartiles(t *testing.T) {
	for _, test := range []struct {
		name   string
		values []float64
		want   Quartiles
		text   string
	}{
		{"nothing", nil, Quartiles{}, "–"},
		{"one", []float64{2}, Quartiles{2, 2, 2, 1}, "2.00"},
		{"two, of which each quartile is between", []float64{4, 2}, Quartiles{2.5, 3, 3.5, 2}, "3.00 (2.50–3.50)"},
		{"five", []float64{50, 10, 40, 20, 30}, Quartiles{20, 30, 40, 5}, "30.0 (20.0–40.0)"},
	} {
		got := quartilesOf(test.values)
		if got != test.want || got.String() != test.text {
			t.Errorf("%s: %+v, %q; want %+v, %q", test.name, got, got, test.want, test.text)
		}
	}
	for v, want := range map[float64]string{0: "0.00", 9.994: "9.99", 99.94: "99.9", 999.4: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := figure(v); got != want {
			t.Errorf("figure(%v) = %q, want %q", v, got, want)
		}
	}
}

var echoCell = Cell{Name: "1 KiB", Backend: "stub", Mode: "echo", Size: 1024, Conns: 50}

// someData has two rounds; the machine is twice as slow in the second.
func someData() Data {
	d := Data{System: "a machine", Rounds: 2, Targets: []Target{
		{Key: "ws-fpm", Name: "**ws-fpm**", Kind: Ours}, {Key: "a", Name: "peer `a`"}, {Key: "b", Name: "peer b"},
		{Key: "c", Name: "peer c"}, {Key: "floor", Name: "the floor", Kind: Floor}},
		Calls: map[string]map[string]float64{"1 KiB": {"ws-fpm": 4.1}}}
	for round, slow := range []time.Duration{1, 2} {
		for key, us := range map[string]time.Duration{"ws-fpm": 10, "a": 30, "b": 20, "floor": 5} {
			d.Samples = append(d.Samples, Sample{Cell: echoCell, Target: key, Round: round, Result: load.Result{
				Messages: 1000, Seconds: 1, Server: us * slow * time.Millisecond, P50: slow * 100 * time.Microsecond, P99: slow * 1500 * time.Microsecond}})
		}
	}
	d.Samples = append(d.Samples, Sample{Cell: echoCell, Target: "c", Error: "it fell over"})
	return d
}

func TestRatio(t *testing.T) {
	d := someData()
	if got, want := d.Ratio(echoCell, "a", "ws-fpm", CPU), (Quartiles{3, 3, 3, 2}); got != want {
		t.Errorf("Ratio = %+v, want %+v: what slows a whole round is not in it", got, want)
	}
	d.Samples[0].Error = "lost"
	lost := d.Samples[0].Target
	other := map[bool]string{true: "b", false: "a"}[lost == "a"]
	if got := d.Ratio(echoCell, lost, other, CPU); got.N != 1 {
		t.Errorf("Ratio counts %d rounds, want the one that both have", got.N)
	}
}

func TestBest(t *testing.T) {
	if got := someData().Best(echoCell, CPU); got != "b" {
		t.Errorf("Best = %q, want b: neither ours nor the floor is a peer, and c has no figure", got)
	}
}

func TestText(t *testing.T) {
	var b strings.Builder
	someData().Text(&b)
	for _, want := range []string{
		"a machine; 2 rounds",
		"ws-fpm     1,000     150   2,250    15.0  1.00 (1.00–1.00)   4.10         0.00\n",
		"peer a     1,000     150   2,250    45.0  3.00 (3.00–3.00)      –         0.00\n",
		"  peer c: it fell over\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("Text lacks %q:\n%s", want, b.String())
		}
	}
}

func TestSplice(t *testing.T) {
	const begin, end = "<!-- bench -->\n", "<!-- /bench -->\n"
	got, err := splice("above\n"+begin+"old\n"+end+"below\n", "bench", "new\n")
	if want := "above\n" + begin + "new\n" + end + "below\n"; got != want || err != nil {
		t.Errorf("splice = %q, %v; want %q", got, err, want)
	}
	for _, text := range []string{"", begin, end, end + begin, "<!-- other -->\n<!-- /other -->\n"} {
		if _, err := splice(text, "bench", "new\n"); err == nil {
			t.Errorf("splice took %q", text)
		}
	}
}

func TestWriteReadme(t *testing.T) {
	path := filepath.Join(t.TempDir(), "README.md")
	const empty = "<!-- bench -->\n<!-- /bench -->\n<!-- fanout -->\n<!-- /fanout -->\n"
	if err := os.WriteFile(path, []byte(empty), 0o600); err != nil {
		t.Fatal(err)
	}
	d := someData()
	d.Samples = append(d.Samples, Sample{Cell: Cell{Name: "256 B", Backend: "stub", Mode: "broadcast", Size: 256, Conns: 1000}, Target: "ws-fpm",
		Result: load.Result{Messages: 500, Seconds: 1, Server: 2 * time.Millisecond, P50: time.Millisecond, P99: 2 * time.Millisecond}})
	for range 2 { // written again it is the same
		for _, name := range []string{"bench", "fanout"} {
			if err := d.WriteReadme(path, name); err != nil {
				t.Fatal(err)
			}
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| **ws-fpm** | 1,000 | 150 / 2,250 | 15.0 | – |", "| peer `a` | 1,000 | 150 / 2,250 | 45.0 (3.00×) |", "| peer c | fails |",
		"|  | 1,000: deliveries/s | p50 / p99 µs | CPU µs |\n|---|---|---|---|\n| **ws-fpm** | 500 | 1,000 / 2,000 | 4.00 |\n",
	} {
		if n := strings.Count(string(b), want); n != 1 {
			t.Errorf("the README has %q %d times, want once:\n%s", want, n, b)
		}
	}
}

func TestChart(t *testing.T) {
	var b strings.Builder
	c := someData().chart("a <title>", echoCell, CPU, "µs", 1)
	c.bars[1].name = "5 < 6"
	c.svg(&b)
	svg := b.String()
	if err := xml.Unmarshal([]byte(svg), new(struct{ XMLName xml.Name })); err != nil {
		t.Errorf("not XML: %v\n%s", err, svg)
	}
	if floor, us := strings.Index(svg, ">the floor<"), strings.Index(svg, ">15.0 µs<"); floor < 0 || us < floor {
		t.Errorf("want the floor, which is shortest, before ours:\n%s", svg)
	}
	for _, want := range []string{"a &lt;title&gt;", "prefers-color-scheme: dark", `width="290.0"`, `<text class="ours"`} {
		if !strings.Contains(svg, want) {
			t.Errorf("the picture lacks %q:\n%s", want, svg)
		}
	}
	for _, other := range []string{"href", "url(", "<script"} {
		if strings.Contains(svg, other) {
			t.Errorf("the picture wants something from elsewhere: %q", other)
		}
	}
}

func TestSave(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.json")
	want := someData()
	if err := want.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if !reflect.DeepEqual(got, want) || err != nil {
		t.Errorf("Load = %+v, %v; want %+v", got, err, want)
	}
}
