"""Writes the golden profiles which were not recorded: python3 make/write.py (in the folder golden)."""
from pb import Profile, num, packed, save, sub, unpacked, varint

START = 1794301200_000000000  # 2026-11-10 09:00:00 UTC

# Java: no mappings, no addresses, lambda and constructor names, labels.
p = Profile("cpu/nanoseconds", "alloc_in_new_tlab_objects/count", "alloc_in_new_tlab_bytes/bytes", "contentions/count", "delay/nanoseconds")
run = "java/lang/Thread.run;java/util/concurrent/ThreadPoolExecutor$Worker.run;com/example/shop/OrderService.handle"
main = p.label("thread", "pool-1-thread-1") + p.label("span_id", "9f2c4e1a7b3d5f60")
other = p.label("thread", "pool-1-thread-2")
p.stack(run + ";com/example/shop/OrderService.lambda$total$0", 120_000_000, 0, 0, 0, 0, labels=main)
p.stack(run + ";com/example/shop/OrderService.lambda$total$0;com/example/shop/Cart.<init>", 30_000_000, 12, 6_291_456, 0, 0, labels=main)
p.stack(run + ";com/example/shop/Cart.<init>;java/util/ArrayList.<init>", 10_000_000, 7, 917_504, 0, 0, labels=other)
p.stack(run + ";com/example/shop/Registry.<clinit>", 20_000_000, 0, 0, 3, 4_500_123, labels=other)
p.stack(run + ";com/example/shop/OrderService$$Lambda$14/0x0000000800c03000.apply;com/example/shop/OrderService.lambda$total$0", 40_000_000, 1, 131_072, 0, 0)
p.stack("java/lang/Thread.run;jdk/internal/misc/Unsafe.park", 0, 0, 0, 9, 987_654_321_012, labels=other)
p.stack("Interpreter;libjvm.so.SharedRuntime::handle_wrong_method(JavaThread*)", 10_000_000, 0, 0, 0, 0)
p.times(START, 10_000_000_000, "cpu/nanoseconds", 10_000_000)
save("java.pb.gz", p.bytes())

# .NET: no time, no period type, several types, "!", backticks and blanks in names.
p = Profile("cpu/nanoseconds", "cpu-samples/count", "exception/count", "alloc-samples/count", "alloc-size/bytes", "lock-count/count", "lock-time/nanoseconds")
core = "System.Private.CoreLib!System.Threading.ThreadPoolWorkQueue.Dispatch"
price = core + ";Shop.Core!Shop.Core.Orders.OrderService.Price(System.Collections.Generic.List`1<Shop.Core.Item>)"
p.stack(price, 150_000_000, 15, 0, 0, 0, 0, 0)
p.stack(price + ";System.Private.CoreLib!System.Collections.Generic.Dictionary`2[System.__Canon,System.Int32].FindValue", 350_000_000, 35, 0, 0, 0, 0, 0)
p.stack(price + ";Shop.Core!Shop.Core.Orders.Cart..ctor", 0, 0, 0, 41, 5_368_709_120, 0, 0)
p.stack(price + ";|lm:Shop.Core |ns:Shop.Core.Orders |ct:Rules |cg:<T> |fn:Check |fg: |sg:(T item)", 20_000_000, 2, 7, 0, 0, 0, 0)
p.stack(core + ";System.Private.CoreLib!System.Threading.Monitor.Enter(object, bool&)", 0, 0, 0, 0, 0, 19, 77_000_000_001)
save("dotnet.pb.gz", p.bytes())

# Inlined calls: a location with several lines (the first line is the innermost function).
p = Profile("samples/count", "cpu/nanoseconds")
for id, name in enumerate(["main", "outer", "middle", "leaf", "helper"], 1):
    p.function(id, name, name, "inline.c")
p.mapping(1, "/usr/bin/inline")
p.location(1, 1, mapping=1, address=0x401000)
p.location(2, 4, 3, 2, mapping=1, address=0x401100)  # leaf in middle in outer
p.location(3, 3, 2, mapping=1, address=0x401200)  # middle in outer
p.location(4, 4, mapping=1, address=0x401300)  # leaf, not inlined
p.location(5, 5, 5, 2, mapping=1, address=0x401400)  # helper in helper in outer
for stack, n in [([2, 1], 5), ([3, 1], 3), ([4, 3, 1], 7), ([4, 2, 1], 2), ([5, 1], 4), ([1], 1)]:
    p.sample(stack, [n, n * 10_000_000])
p.times(START, 1_000_000_000, "cpu/nanoseconds", 10_000_000)
save("inlined.pb.gz", p.bytes())

# Recursion: a function counts once for each stack. Not compressed.
p = Profile("samples/count")
for text, n in [("main;fib", 2), ("main;fib;fib", 3), ("main;fib;fib;fib", 5), ("main;even;odd;even;odd", 7),
                ("main;even;odd;even", 11), ("main;odd;even;odd;leaf", 13), ("main;fib;even;fib", 17), ("main;main", 19)]:
    p.stack(text, n)
# Two functions with one name, and two locations of one function: one row each.
p.function(90, "fib", "fib", "other.c")
p.location(90, 90, line=12)
p.location(91, 90, line=13)
p.sample([90, 91, p.frame("fib"), p.frame("main")], [23])
p.times(START)
save("recursion.pb", p.bytes())

# No functions, or no names.
p = Profile("samples/count", "space/bytes")
p.mapping(1, "/app/bin/server", 0x400000, 0x500000)
p.mapping(2, "/usr/lib/x86_64-linux-gnu/libc.so.6", 0x7F0000000000, 0x7F0000200000)
p.mapping(3, "", 0x10000, 0x20000)
p.mapping(4, "[vdso]", 0x7FFFF000, 0x80000000)
p.function(1, "main", "main")
p.function(2, "", "_ZN6server4pollEv")
p.function(3, "", "", "unnamed.c")
p.function(4, "", "")
p.location(1, 1, mapping=1, address=0x401234)
p.location(2, mapping=1, address=0x40ABCD)  # two addresses in one mapping
p.location(3, mapping=1, address=0x40ABCE)
p.location(4, mapping=2, address=0x7F0000012345)
p.location(5, mapping=3, address=0x10F00)  # a mapping without a file
p.location(6, address=0xDEADBEEFCAFE)  # no mapping
p.location(7)  # nothing at all
p.location(8, 2, mapping=1, address=0x402000)  # only a system name
p.location(9, 3, mapping=1, address=0x403000)  # no name, but a file
p.location(10, 4, mapping=2, address=0x7F0000054321)  # no name
p.location(11, 4, address=0x99)  # no name, no mapping
p.location(12, mapping=4, address=0x7FFFF7E8)
p.location(13, 4, 1, mapping=1, address=0x405000)  # no name, inlined in main
p.location(14, mapping=2)  # address 0
p.location(15, mapping=77, address=0x1F)  # a mapping which does not exist
for i, stack in enumerate([[2, 1], [3, 1], [4, 1], [5, 1], [6, 1], [7, 1], [8, 1], [9, 1], [10, 1], [11, 1], [12, 1], [13, 1],
                           [14, 1], [15, 1], [4, 2, 8, 1], [1, 10, 6, 10]]):
    p.sample(stack, [1 << i, 1000 + i])
p.times(START)
save("missing.pb.gz", p.bytes())

# Huge ids with holes, not sorted, up to 2^64-1.
p = Profile("samples/count")
ids = [(1 << 64) - 1, 3, 1 << 63, 0x7F12_3456_789A, 1, 1_000_000_007]
for id, name in zip(ids, ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"]):
    p.function(id ^ 2, name, name)
    p.location(id, id ^ 2, mapping=(1 << 62) + 5, address=id)
p.mapping((1 << 62) + 5, "/bin/ids", 0, (1 << 64) - 1)
for i, stack in enumerate([[0, 1], [2, 3, 1], [4, 1], [5, 4, 3, 2, 1, 0], [0]]):
    p.sample([ids[s] for s in stack], [3 ** i])
p.times(START)
save("ids.pb.gz", p.bytes(order=(4, 5, 3, 2, 1, 6)))

# Values above 2^53 and near the ends of 64 bits.
p = Profile("count/count", "cpu/nanoseconds", "space/bytes")
p.stack("main;big", 9_007_199_254_740_993, 9_223_372_036_854_775_000, 1)
p.stack("main;big;bigger", 9_007_199_254_740_995, 801, 1 << 62)
p.stack("main;small", 1, 1, (1 << 53) + 1)
p.stack("other;small", 4_000_000_000_000_000_007, 3, 0)
p.stack("lowest", -9_223_372_036_854_775_808, -9_007_199_254_740_993, -1)
p.times(START, 1, "cpu/nanoseconds", 1)
save("big.pb.gz", p.bytes())

# A diff: negative values, some of which cancel out.
p = Profile("samples/count", "cpu/nanoseconds")
base = p.label("pprof::base", "true")
for text, n in [("main;work;parse", 30), ("main;work;print", 5), ("main;idle", 8), ("main;new", 3)]:
    p.stack(text, n, n * 10_000_000)
for text, n in [("main;work;parse", 12), ("main;work;print", 21), ("main;idle", 8), ("main;old", 4)]:
    p.stack(text, -n, -n * 10_000_000, labels=base)
p.times(START, 5_000_000_000, "cpu/nanoseconds", 10_000_000)
save("diff.pb.gz", p.bytes())

# Labels: texts, numbers, units, one key twice, equal stacks with other labels; an empty period type.
p = Profile("samples/count", "wall/nanoseconds")
a, text, n = "main;handle;query", p.label, 0
for labels in [text("endpoint", "/orders"), text("endpoint", "/items"), text("endpoint", "/orders") + text("user", "Zoë"),
               text("bytes", number=4096, unit="bytes"), text("bytes", number=65536, unit="bytes") + text("bytes", number=512, unit="bytes"),
               text("thread_id", number=-1), text("endpoint", "/a b=c,d\"e"), text("endpoint", ""), text("zero", number=0),
               text("tag", "one") + text("tag", "two"), text("", "no key"), text("request", number=30, unit="requests") + text("request", "text"), b""]:
    n += 1
    p.stack(a if n % 3 else "main;handle", n, n * 1_000_003, labels=labels)
p.times(START, 0, "", 0)
save("labels.pb.gz", p.bytes())


def shop():
    """One profile, written in several ways."""
    p = Profile("samples/count", "cpu/nanoseconds")
    p.mapping(1, "/app/shop")
    for text, n in [("main;serve;price", 4), ("main;serve;price;sort", 9), ("main;serve", 1), ("main;gc", 6)]:
        p.stack(text, n, n * 10_000_000)
    p.times(START, 1_000_000_000, "cpu/nanoseconds", 10_000_000)
    return p


save("order-strings-first.pb.gz", shop().bytes(order=(6, 5, 4, 3, 2, 1)))
save("order-strings-last.pb.gz", shop().bytes(order=(2, 4, 5, 3, 1, 6)))
p = shop()
p.tail, tail = b"", p.tail  # the times first, then samples and strings by turns
p.bytes()
turns = [part for n in range(8) for k in (2, 6, 5, 4, 1, 3) for part in p.sections[k][n:n + 1]]
turns += [part for k in (6,) for part in p.sections[k][8:]]
save("order-mixed.pb.gz", tail + b"".join(turns))
save("gzip-members.pb.gz", shop().bytes(), members=3)

# Repeated numbers not packed, packed, and both in one sample; unknown fields of all wire types; tags with padding.
p = shop()
p.sections[2].clear()
f = p.frame
p.sample([f("price"), f("serve"), f("main")], [4, 40_000_000], ids=unpacked, vals=unpacked)
p.sample([f("sort"), f("price"), f("serve"), f("main")], [9, 90_000_000], ids=unpacked)
p.sections[2].append(sub(2, num(2, 1) + packed(1, [f("serve")]) + num(1, f("main")) + num(2, 10_000_000)))
p.sections[2].append(sub(2, packed(1, []) + packed(1, [f("gc")]) + packed(2, [6]) + packed(1, [f("main")]) + packed(2, [60_000_000])
                         + num(200, 5) + varint(201 << 3 | 1) + b"12345678" + varint(202 << 3 | 5) + b"1234" + sub(203, b"skip")))
p.tail = num(100, 1) + sub(101, b"unknown") + varint(102 << 3 | 1) + b"\0" * 8 + varint(103 << 3 | 5) + b"\1" * 4 + p.tail
p.tail += b"\xf0\x80\x00" + b"\x81\x80\x00"  # field 14 (default type), both numbers longer than needed
save("unpacked.pb.gz", p.bytes())

# drop_frames and keep_frames: pprof leaves frames out, we do not.
p = Profile("alloc_objects/count", "alloc_space/bytes")
for text, n in [("main;load;malloc;_int_malloc", 5), ("main;load;operator new(unsigned long);malloc", 7), ("main;malloc_usable;read", 3), ("main;load", 2)]:
    p.stack(text, n, n * 4096)
p.tail = num(7, p.s("malloc|operator new.*")) + num(8, p.s("malloc_usable"))
p.times(START, 0, "space/bytes", 524_288)
save("drop.pb.gz", p.bytes())

# Zero values, a function in no sample, a type in which all is zero.
p = Profile("alloc_objects/count", "alloc_space/bytes", "inuse_objects/count", "inuse_space/bytes")
p.stack("main;keep", 3, 300, 2, 200)
p.stack("main;free", 8, 64, 0, 0)
p.stack("main;never", 0, 0, 0, 0)
p.stack("init", 0, 0, 1, 16)
p.frame("not in any sample")
p.times(START)
save("zero.pb.gz", p.bytes())
