"""verify_export.py EXPORT [PUBLIC_KEY_HEX] [CHECKPOINTS]: check an export of paygate's audit log.

Prints what holds and exits 0, or names the first bad entry and exits 1. See docs/audit.md.
"""

import base64, hashlib, hmac, json, sys

P, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


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
    check(x * x % P == square and y < P, "this is no point of the curve")
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


def check(holds, words):
    holds or sys.exit(words)


def main(export, public="", checkpoints=""):
    told = [json.loads(line) for line in open(checkpoints)] if checkpoints else []
    told, lines = {line["number"]: line["hash"] for line in told}, map(json.loads, open(export))
    begin, e, last, count = next(lines), {"object": None}, None, 0
    where, number, previous = (begin[k] for k in ("installation", "previous_number", "previous"))
    for e in lines:
        if e["object"] == "audit_export_end":
            break
        entry, leaf, bad = e["entry"], bytes.fromhex(e["leaf"]), f"entry {e['number']}, {e['id']}: "
        if e["number"] != number + 1:
            lost, said = f"{number + 1}-{e['number'] - 1}", (entry or {}).get("details", {})
            check(entry is None or said.get("lost") == lost, f"{bad}{lost} are gone")
            print(f"declared gap: numbers {lost}, lost by a restore")
        if e["content"] is not None:
            content, clear = base64.b64decode(e["content"]), (e["subject"], e["action"], e["actor"])
            data = fields("paygate.audit.1", e["merchant"], e["id"], str(e["at"]), *clear, content)
            check(hmac.digest(bytes.fromhex(e["salt"]), data, "sha256") == leaf, f"{bad}changed")
            check(entry and unpack(content)[0] == entry | {"at": None}, f"{bad}shown otherwise")
        name = (str(e["number"]), e["merchant"], e["id"], str(e["at"]), e["key"], "1")
        data = fields("paygate.chain.1", where, bytes.fromhex(previous), *name, leaf)
        check(hashlib.sha256(data).hexdigest() == e["hash"], f"{bad}does not follow the one before")
        check(told.get(e["number"], e["hash"]) == e["hash"], f"{bad}not what was told outside")
        number, previous, last, count = e["number"], e["hash"], e, count + 1
    check(e["object"] == "audit_export_end" and e["hash"] == previous, "the export is cut off")
    check(max(told, default=0) <= number, f"it ends at {number}, and more was told outside")
    if last is not None:
        key = bytes.fromhex(public or begin["public_keys"][last["key"]])
        message = fields("paygate.head.1", where, str(number), bytes.fromhex(previous))
        check(signed(key, message, bytes.fromhex(last["signature"] or "")), "its end is not signed")
    print(f"good: {count} entries, up to number {number}")


if __name__ == "__main__":
    main(*sys.argv[1:])
