// Grafana's SDK for Go, writing the frames that `cargo bench -p flamesql-frame` writes. In a folder of its own:
//
//	mkdir -p target/peers/frames && cp benches/peers/frames_test.go target/peers/frames && cd target/peers/frames
//	go mod init frames && go get github.com/grafana/grafana-plugin-sdk-go@v0.299.0 && go mod tidy
//	go test -bench . -benchmem
package frames

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/data"
)

const (
	nNodes  = 100_000
	nNames  = 20_000
	nSeries = 500
	nPoints = 1000
)

// A flame graph: levels, values, self values, and names by their number.
func flamegraph() data.Frames {
	names := make([]string, nNames)
	for n := range names {
		names[n] = fmt.Sprintf("pkg%d/mod%d.(*Type%d).Method%d", n%97, n%31, n%53, n)
	}
	level, value, self := make([]int64, nNodes), make([]int64, nNodes), make([]int64, nNodes)
	label := make([]data.EnumItemIndex, nNodes)
	for n := range nNodes {
		level[n], value[n], self[n] = int64(n%60), int64(n)*7919+1, int64(n)*31
		label[n] = data.EnumItemIndex(n % nNames)
	}
	labels := data.NewField("label", nil, label)
	labels.Config = &data.FieldConfig{TypeConfig: &data.FieldTypeConfig{Enum: &data.EnumFieldConfig{Text: names}}}
	frame := data.NewFrame("response",
		data.NewField("level", nil, level), data.NewField("value", nil, value), data.NewField("self", nil, self), labels)
	frame.Meta = &data.FrameMeta{PreferredVisualization: data.VisTypeFlameGraph}
	return data.Frames{frame}
}

func series() data.Frames {
	frames := make(data.Frames, nSeries)
	for number := range frames {
		times, values := make([]time.Time, nPoints), make([]float64, nPoints)
		for n := range nPoints {
			times[n] = time.UnixMilli(1_795_176_000_000 + int64(n)*15_000)
			values[n] = float64(n)*1.7 + float64(number)
		}
		labels := data.Labels{"service_name": fmt.Sprintf("svc%d", number)}
		frames[number] = data.NewFrame("", data.NewField("time", nil, times), data.NewField("cpu", labels, values))
	}
	return frames
}

func run(b *testing.B, frames data.Frames, write func(data.Frames) (int, error)) {
	for b.Loop() {
		n, err := write(frames)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(n))
	}
}

func asJSON(frames data.Frames) (int, error) {
	bytes, err := json.Marshal(backend.DataResponse{Frames: frames})
	return len(bytes), err
}

func asArrow(frames data.Frames) (int, error) {
	files, err := frames.MarshalArrow()
	n := 0
	for _, file := range files {
		n += len(file)
	}
	return n, err
}

func BenchmarkFlamegraphJSON(b *testing.B)  { run(b, flamegraph(), asJSON) }
func BenchmarkFlamegraphArrow(b *testing.B) { run(b, flamegraph(), asArrow) }
func BenchmarkSeriesJSON(b *testing.B)      { run(b, series(), asJSON) }
func BenchmarkSeriesArrow(b *testing.B)     { run(b, series(), asArrow) }
