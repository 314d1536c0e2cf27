// truth: prints self and total of each function, exactly, read with github.com/google/pprof/profile.
// A function counts once for each stack. Functions are merged by name; drop_frames is not applied.
//
//	truth FILE > FILE.tsv
package main

import (
	"fmt"
	"os"
	"path"
	"sort"

	"github.com/google/pprof/profile"
)

type row struct {
	name        string
	self, total int64
}

func name(loc *profile.Location, line profile.Line) string {
	if f := line.Function; f != nil && f.Name != "" {
		return f.Name
	} else if f != nil && f.SystemName != "" {
		return f.SystemName
	}
	address := fmt.Sprintf("0x%x", loc.Address)
	if loc.Mapping != nil && loc.Mapping.File != "" {
		return path.Base(loc.Mapping.File) + "!" + address
	}
	return address
}

// frames are the names of a stack, innermost first.
func frames(s *profile.Sample) (names []string) {
	for _, loc := range s.Location {
		for _, line := range loc.Line {
			names = append(names, name(loc, line))
		}
		if len(loc.Line) == 0 {
			names = append(names, name(loc, profile.Line{}))
		}
	}
	return names
}

func main() {
	in, err := os.Open(os.Args[1])
	if err != nil {
		panic(err)
	}
	p, err := profile.Parse(in)
	if err != nil {
		panic(err)
	}
	fmt.Println("# sample_type\tself\ttotal\tfunction")
	for i, kind := range p.SampleType {
		rows := map[string]*row{}
		for _, s := range p.Sample {
			seen := map[string]bool{}
			for n, name := range frames(s) {
				r := rows[name]
				if r == nil {
					r = &row{name: name}
					rows[name] = r
				}
				if n == 0 {
					r.self += s.Value[i]
				}
				if !seen[name] {
					r.total += s.Value[i]
				}
				seen[name] = true
			}
		}
		var list []*row
		for _, r := range rows {
			if r.self != 0 || r.total != 0 { // as pprof: no rows of zeros
				list = append(list, r)
			}
		}
		sort.Slice(list, func(a, b int) bool {
			x, y := list[a], list[b]
			if x.self != y.self {
				return x.self > y.self
			} else if x.total != y.total {
				return x.total > y.total
			}
			return x.name < y.name
		})
		for _, r := range list {
			fmt.Printf("%s\t%d\t%d\t%s\n", kind.Type, r.self, r.total, r.name)
		}
	}
}
