// The order service: what the demo's profiles show. See ../../README.md.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand"
	"regexp"
	"sort"
	"sync"
	"time"
)

type Item struct{ Count, Cents int }

type Order struct {
	ID, Receipt string
	Coupons     []string
	Items       []Item
	Total       int
}

const couponPattern = `^(SPRING|SUMMER|AUTUMN|WINTER)-(\d{2})-([A-Z0-9]{6,8})$`

var (
	coupon   = regexp.MustCompile(couponPattern)
	stock    = &Stock{left: map[int]int{}}
	auditMu  sync.Mutex
	auditLog [][]byte
	cache    sync.Map
)

type Stock struct {
	mu   sync.Mutex
	left map[int]int
}

// Reserve holds one lock for all items: the workers queue up here.
func (s *Stock) Reserve(items []Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, it := range items {
		s.left[it.Cents] -= it.Count
	}
	time.Sleep(50 * time.Microsecond) // stands for a slow storage call
}

func validCoupon(code string) bool {
	if *version == "1.5.0" {
		return regexp.MustCompile(couponPattern).MatchString(code)
	}
	return coupon.MatchString(code)
}

func newOrder(r *rand.Rand) *Order {
	o := &Order{ID: fmt.Sprintf("o-%08x", r.Uint32())}
	for i := 0; i < 40+r.Intn(80); i++ {
		o.Items = append(o.Items, Item{1 + r.Intn(4), 100 + r.Intn(9000)})
	}
	for i := 0; i < 8; i++ {
		o.Coupons = append(o.Coupons, fmt.Sprintf("SUMMER-%d-AB%06d", r.Intn(90)+10, r.Intn(1000000)))
	}
	return o
}

func priceOrder(o *Order) {
	sort.Slice(o.Items, func(i, j int) bool { return o.Items[i].Cents > o.Items[j].Cents })
	for _, it := range o.Items {
		o.Total += it.Count * it.Cents
	}
	for _, code := range o.Coupons {
		if validCoupon(code) {
			o.Total -= o.Total / 100
		}
	}
}

func signReceipt(o *Order) {
	sum := sha256.Sum256([]byte(o.ID))
	for i := 0; i < 2000; i++ {
		sum = sha256.Sum256(sum[:])
	}
	o.Receipt = hex.EncodeToString(sum[:])
}

func encodeOrder(o *Order) []byte {
	var buf bytes.Buffer
	json.NewEncoder(&buf).Encode(o)
	return buf.Bytes()
}

func handleCheckout(r *rand.Rand) {
	o := newOrder(r)
	priceOrder(o)
	stock.Reserve(o.Items)
	signReceipt(o)
	body := encodeOrder(o)
	cache.Store(o.ID[:4], body)
	if *version == "1.5.0" {
		auditMu.Lock()
		auditLog = append(auditLog, body)
		auditMu.Unlock()
	}
}

func handleHistory(r *rand.Rand) {
	cache.Range(func(_, body any) bool {
		json.Unmarshal(body.([]byte), new(Order))
		return r.Intn(4) != 0
	})
	time.Sleep(2 * time.Millisecond)
}
