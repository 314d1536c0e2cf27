"""reports: a small nightly sales report, recorded from outside with py-spy.

    py-spy record --format raw --rate 100 --duration 5 --output reports.folded -- python reports.py
"""
import csv
import io
import random
import statistics
import time

COUNTRIES = ["at", "ch", "de", "es", "fr", "it", "pt"]


def load_orders(count, seed):
    rng = random.Random(seed)
    rows = io.StringIO()
    writer = csv.writer(rows)
    for i in range(count):
        writer.writerow([i, rng.choice(COUNTRIES), rng.randrange(100, 90000), f"2026-11-{rng.randrange(1, 30):02d}"])
    return rows.getvalue()


def parse_orders(text):
    return [
        {"id": int(row[0]), "country": row[1], "cents": int(row[2]), "day": row[3]}
        for row in csv.reader(io.StringIO(text))
    ]


def group_by(orders, key):
    groups = {}
    for order in orders:
        groups.setdefault(order[key], []).append(order)
    return groups


def similarity(a, b):
    """The hot function: a slow comparison of two days."""
    total = 0
    for x in a:
        for y in b:
            if abs(x - y) < 500:
                total += 1
    return total


def find_similar_days(days):
    cents = {day: [o["cents"] for o in orders[:45]] for day, orders in days.items()}
    names = sorted(cents)
    return max(((similarity(cents[a], cents[b]), a, b) for a in names for b in names if a < b), default=None)


def summarize(groups):
    lines = []
    for name, orders in sorted(groups.items()):
        values = [o["cents"] for o in orders]
        lines.append(f"{name};{len(values)};{statistics.fmean(values):.2f};{statistics.median(values)}")
    return "\n".join(lines)


def walk_tree(level, orders):
    """Splits the orders again and again: a recursive function."""
    if level == 0 or len(orders) < 8:
        return sorted(orders, key=lambda o: (o["cents"], o["id"]))[:3]
    half = len(orders) // 2
    return walk_tree(level - 1, orders[:half]) + walk_tree(level - 1, orders[half:])


def build_report(seed):
    orders = parse_orders(load_orders(6000, seed))
    summary = summarize(group_by(orders, "country"))
    return summary, find_similar_days(group_by(orders, "day")), walk_tree(6, orders)


def main():
    end = time.monotonic() + 7
    seed = 0
    while time.monotonic() < end:
        seed += 1
        build_report(seed)


if __name__ == "__main__":
    main()
