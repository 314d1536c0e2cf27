// checkout: a small order service which records profiles of itself (see ../../README.md).
// 1.5.0 has two faults on purpose: it compiles the coupon pattern for every coupon,
// and keeps every order in an audit log.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"runtime/pprof"
	"time"
)

var version = flag.String("version", "1.4.0", "1.4.0 or 1.5.0")

func serve(seed int64) {
	r, tenants := rand.New(rand.NewSource(seed)), []string{"acme", "acme", "globex", "initech"}
	for {
		endpoint, handler := "/checkout", handleCheckout
		if r.Intn(3) == 0 {
			endpoint, handler = "/history", handleHistory
		}
		labels := pprof.Labels("endpoint", endpoint, "tenant", tenants[r.Intn(4)])
		pprof.Do(context.Background(), labels, func(context.Context) { handler(r) })
	}
}

func main() {
	first, count := flag.Int("first", 0, "number of the first file"), flag.Int("count", 2, "how many")
	out, seed := flag.String("out", ".", "folder to write to"), flag.Int64("seed", 1, "random seed")
	flag.Parse()
	runtime.MemProfileRate = 64 << 10
	runtime.SetMutexProfileFraction(5)
	runtime.SetBlockProfileRate(100_000)
	for w := int64(0); w < 4; w++ {
		go serve(*seed*100 + w)
	}
	for n := *first; n < *first+*count; n++ {
		create := func(kind string) *os.File {
			f, err := os.Create(fmt.Sprintf("%s/%03d-%s.pb.gz", *out, n, kind))
			if err != nil {
				panic(err)
			}
			return f
		}
		pprof.StartCPUProfile(create("cpu"))
		time.Sleep(4 * time.Second)
		pprof.StopCPUProfile()
		runtime.GC()
		for _, kind := range []string{"heap", "goroutine", "mutex", "block"} {
			pprof.Lookup(kind).WriteTo(create(kind), 0)
		}
	}
}
