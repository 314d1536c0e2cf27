// tidy: gives a recorded profile a fixed time, and takes paths of the recording machine and comments out.
//
//	tidy 2026-11-10T09:00:00Z IN.pb.gz OUT.pb.gz
package main

import (
	"compress/gzip"
	"os"
	"path"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

func check[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func main() {
	at := check(time.Parse(time.RFC3339Nano, os.Args[1]))
	p := check(profile.Parse(check(os.Open(os.Args[2]))))
	p.TimeNanos = at.UnixNano()
	p.Comments = nil
	for _, m := range p.Mapping {
		if !strings.HasPrefix(m.File, "[") && m.File != "" {
			m.File = path.Base(m.File)
		}
	}
	for _, f := range p.Function {
		if i := strings.Index(f.Filename, "node_modules/"); i >= 0 {
			f.Filename = f.Filename[i:]
		} else if strings.HasPrefix(f.Filename, "/") {
			f.Filename = path.Base(f.Filename)
		}
	}
	out := check(os.Create(os.Args[3]))
	z := check(gzip.NewWriterLevel(out, gzip.BestCompression))
	if err := p.WriteUncompressed(z); err != nil {
		panic(err)
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
}
