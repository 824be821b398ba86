"""verify_export.py EXPORT [PUBLIC_KEY_HEX] [CHECKPOINTS]: check an export of paygate's audit log.
Prints what holds and exits 0, or names the first bad entry and exits 1. See docs/audit.md.
"""

import base64, datetime, hashlib, hmac, json, sys

P, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D, EPOCH = -121665 * pow(121666, -1, P) % P, datetime.datetime(1970, 1, 1)


def add(a, b):  # Ed25519 (RFC 8032, 5.1.4), in extended coordinates
    e, f = (a[1] - a[0]) * (b[1] - b[0]), (a[1] + a[0]) * (b[1] + b[0])
    g, h = 2 * a[3] * b[3] * D, 2 * a[2] * b[2]
    x, y, z, w = f - e, f + e, h + g, h - g
    return x * w % P, z * y % P, w * z % P, x * y % P


def times(n, point):
    half = times(n >> 1, add(point, point)) if n > 1 else (0, 1, 1, 0)
    return add(half, point) if n & 1 else half


def point_of(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if x * x % P == square else x * pow(2, (P - 1) // 4, P) % P
    (x * x % P == square and y < P) or sys.exit("this is no point of the curve")
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


def signed(key, message, signature):
    s = int.from_bytes(signature[32:], "little")
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    a, b = times(s, point_of(b"X" + b"f" * 31)), times(h, point_of(key))
    b = add(point_of(signature[:32]), b)
    return s < ORDER and not any((a[n] * b[2] - b[n] * a[2]) % P for n in (0, 1))


def unpack(d, at=0):  # MessagePack, as entries have it: maps, texts and a time. And where it ends
    kind, at = d[at], at + 1
    if kind in (0xD6, 0xD7):
        return None, at + (5 if kind == 0xD6 else 9)
    wide = {0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDE: 2}.get(kind, 0)
    size = int.from_bytes(d[at : at + wide], "big") if wide else kind & (15 if kind < 0xA0 else 31)
    at, found = at + wide, {}
    if kind >= 0xA0 and kind != 0xDE:
        return d[at : at + size].decode(), at + size
    for _ in range(size):
        name, at = unpack(d, at)
        found[name], at = unpack(d, at)
    return found, at


def fields(*values):
    values = [v.encode() if isinstance(v, str) else v for v in values]
    return b"".join(b"-" if v is None else b"%d:" % len(v) + v for v in values)


def main(export, public="", checkpoints=""):
    told = [json.loads(line) for line in open(checkpoints)] if checkpoints else []
    told, lines = {line["number"]: line["hash"] for line in told}, map(json.loads, open(export))
    begin = next(lines)
    where, number, previous = (begin[k] for k in ("installation", "previous_number", "previous"))
    first, last, count, bare, taken = number + 1, None, 0, [], ""
    while (e := next(lines, begin))["object"] == "audit_export_entry":
        entry, leaf, bad = e["entry"], bytes.fromhex(e["leaf"]), f"entry {e['number']}, {e['id']}: "
        at = (EPOCH + datetime.timedelta(0, 0, e["at"])).isoformat()
        if e["number"] != number + 1:
            lost, said = f"{number + 1}-{e['number'] - 1}", (entry or {}).get("details", {})
            entry is None or said.get("lost") == lost or sys.exit(f"{bad}{lost} are gone")
            print(f"declared gap: numbers {lost}, lost by a restore")
        if e["content"] is None:  # Allowed where a later entry says that its month was taken away
            bare.append((at[:19] if entry is None else "~", f"{bad}without what was sealed"))
        else:
            content, clear = base64.b64decode(e["content"]), (e["subject"], e["action"], e["actor"])
            data = fields("paygate.audit.1", e["merchant"], e["id"], str(e["at"]), *clear, content)
            same = hmac.digest(bytes.fromhex(e["salt"]), data, "sha256") == leaf
            same = same and entry and unpack(content)[0] == entry | {"at": None}
            same and entry["at"] == at + "Z" or sys.exit(f"{bad}changed, or shown otherwise")
            if e["action"] == "audit_log.detach":
                taken = max(taken, entry["details"]["ends"])
        name = (str(e["number"]), e["merchant"], e["id"], str(e["at"]), e["key"], "1")
        data = fields("paygate.chain.1", where, bytes.fromhex(previous), *name, leaf)
        number, previous, last, count = e["number"], hashlib.sha256(data).hexdigest(), e, count + 1
        previous == e["hash"] or sys.exit(f"{bad}does not follow the one before")
        told.get(number, previous) == previous or sys.exit(f"{bad}not what was told outside")
    e["object"] == "audit_export_end" and e["hash"] == previous or sys.exit("the export is cut off")
    last and not any(lines) or sys.exit("it holds no entry, or goes on behind its end")
    max(told, default=0) <= number or sys.exit(f"it ends at {number}, and more was told outside")
    [sys.exit(words) for at, words in bare if at >= taken[:19]]
    key = bytes.fromhex(public or begin["public_keys"][last["key"]])
    head = fields("paygate.head.1", where, str(number), bytes.fromhex(previous))
    signed(key, head, bytes.fromhex(last["signature"] or "")) or sys.exit("its end is not signed")
    print(f"good: numbers {first} to {number}, {count} entries, {len(bare)} without content")


main(*sys.argv[1:])
