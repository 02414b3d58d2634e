"""The table of what Imago must reach, by row; what a benchmark found for it."""

import math


class Row:
    """`goal` as people read it, `unit` of the value, `is_met` of the value."""

    def __init__(self, title, goal, unit, is_met):
        self.title, self.goal, self.unit, self.is_met = title, goal, unit, is_met


def at_most(limit):
    return lambda value: value <= limit


ROWS = {
    "1": Row("responder CPU per handshake / crypto floor, X25519 PSK", "<= 1.5", "", at_most(1.5)),
    "2": Row("the same, P-256 PSK", "<= 1.6", "", at_most(1.6)),
    "3": Row("the same, X25519 + ECDSA certificates, new each time", "<= 1.6", "", at_most(1.6)),
    "4": Row("CPU per handshake, 2 cores / 1 core", "<= 1.05", "", at_most(1.05)),
    "5": Row("CPU per handshake with many SAs / with 100", "<= 1.1", "", at_most(1.1)),
    "6": Row("RSS per IKE SA with Child SA (PSK)", "<= 8 KB", "KB", at_most(8)),
    "7": Row("RSS per half-open IKE SA", "<= 3 KB", "KB", at_most(3)),
    "8": Row("p99 under 80,000/s spoofed / p99 unloaded (all handshakes good)", "<= 5", "", at_most(5)),
    "9": Row("good handshakes of 200/s under 20,000/s that return cookies", ">= 99 %, p99 <= 50 ms", "%",
             lambda value: value >= 99),
    "10": Row("goodput at 10x offered / peak, PSK", ">= 0.8", "", lambda value: value >= 0.8),
    "10 certificates": Row("goodput at 10x offered / peak, certificates", ">= 0.95", "",
                           lambda value: value >= 0.95),
    "11": Row("DPD and rekeys of established SAs under row 9's flood, p99", "<= 10 ms", "ms", at_most(10)),
    "12": Row("KILL to last resource freed, crypto pool saturated, p99", "<= 1 ms", "ms", at_most(1)),
    "13": Row("teardown CPU per SA / set-up CPU per SA", "<= 0.3", "", at_most(0.3)),
    "14": Row("list-sas, CPU per SA", "<= 10 us", "us", at_most(10)),
    "14 look-up": Row("look-up by id: CPU with many SAs / with 1,000", "<= 2 (constant)", "", at_most(2)),
    "15": Row("idle CPU with 10,000 SAs", "< 0.1 % of a core", "% of a core", lambda value: value < 0.1),
    "idle": Row("messages to and from the kernel of SAs that nobody uses", "0", "", at_most(0)),
    "active": Row("messages of an SA in use, each period", "<= 1.1", "", at_most(1.1)),
    "events / GETSA": Row("CPU of knowing it by events / by one GETSA for each SA and period", "<= 0.75", "",
                          at_most(0.75)),
    "event CPU": Row("CPU of the engine for each event", "<= 20 us", "us", at_most(20)),
}


def rounded(value):
    """Three digits that matter; None and infinity as they are said in JSON."""
    if value is None or not math.isfinite(value):
        return None
    if value == 0:
        return 0
    return round(value, max(0, 2 - math.floor(math.log10(abs(value)))))


class Finding:
    """One row's figures of one run. `is_met` may add what the value alone does not say."""

    def __init__(self, row, value, rival=None, note="", is_met=True):
        self.row, self.value, self.rival, self.note = row, value, rival, note
        usable = value is not None and math.isfinite(value)
        self.met = bool(usable and is_met and ROWS[row].is_met(value))

    def json(self):
        return {"row": self.row, "value": rounded(self.value), "goal": ROWS[self.row].goal, "met": self.met,
                "rival": rounded(self.rival), "unit": ROWS[self.row].unit, "note": self.note}
