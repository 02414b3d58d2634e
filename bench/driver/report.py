"""One report: a table of the rows, plots by gnuplot where it is there, all in one folder."""

import json
import os
import platform
import shutil
import subprocess
import time

from .rows import ROWS, rounded

WAITED_PERCENT_MAX = 2
COLOURS = ("#3060a0", "#c05020", "#50904a", "#8060a0")


class Report:
    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.findings, self.extra = [], []
        self.waited_percent = 0.0  # the worst of what a generator had to wait for its core
        self.bars, self.lines = {}, {}

    def add_bars(self, plot, title, series, values):
        self.bars.setdefault(plot, (title, {}))[1][series] = values

    def add_line(self, plot, x_title, y_title, series, points):
        self.lines.setdefault(plot, (x_title, y_title, {}))[2][series] = points

    def add_table(self, title, lines):
        self.extra.append((title, lines))

    # -- the table

    def table(self):
        lines = ["| # | figure | value | goal | met | charon, same run |", "| --- | --- | --- | --- | --- | --- |"]
        for one in sorted(self.findings, key=lambda found: list(ROWS).index(found.row)):
            row = ROWS[one.row]
            unit = f" {row.unit}" if row.unit else ""
            rival = "-" if one.rival is None else f"{rounded(one.rival)}{unit}"
            lines.append(f"| {one.row} | {row.title} | {rounded(one.value)}{unit} | {row.goal} | "
                         f"{'yes' if one.met else 'no'} | {rival} |")
        return lines

    def warning(self):
        return (f"The machine was shared: the generator waited up to {self.waited_percent:.0f} % of the time for its "
                "core. CPU time and memory are what they are; latencies and rates (rows 8 to 12) are not.")

    def machine(self):
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        return f"{len(models)} cores, {models[0] if models else platform.machine()}, Linux {platform.release()}"

    def write(self):
        parts = ["# What Imago costs", "", f"{time.strftime('%Y-%m-%d')}: {self.machine()}.", "", *self.table(), ""]
        if self.waited_percent > WAITED_PERCENT_MAX:
            parts += [self.warning(), ""]
        for one in self.findings:
            if one.note:
                parts.append(f"- row {one.row}: {one.note}")
        for title, lines in self.extra:
            parts += ["", f"## {title}", "", *lines]
        parts += ["", *(f"![{name}]({name}.svg)" for name in self.plot())]
        path = os.path.join(self.folder, "report.md")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(parts) + "\n")
        with open(os.path.join(self.folder, "figures.json"), "w", encoding="utf-8") as file:
            for one in self.findings:
                file.write(json.dumps(one.json()) + "\n")
        return path

    # -- the plots

    def plot(self):
        """Names of the plots that were made, each as PNG and SVG."""
        made = []
        for name, text in [*map(self.bar_plot, self.bars), *map(self.line_plot, self.lines)]:
            with open(os.path.join(self.folder, f"{name}.gnuplot"), "w", encoding="utf-8") as file:
                file.write(text)
            if shutil.which("gnuplot"):
                subprocess.run(["gnuplot", f"{name}.gnuplot"], cwd=self.folder, check=True)
                made.append(name)
        return made

    @staticmethod
    def outputs(name, plot):
        return (f"set terminal pngcairo size 900,540 noenhanced\nset output '{name}.png'\n{plot}\n"
                f"set terminal svg size 900,540 noenhanced background 'white'\nset output '{name}.svg'\n{plot}\n")

    def bar_plot(self, name):
        title, series = self.bars[name]
        columns = list(next(iter(series.values())))
        data = "\n".join(f'"{one}" ' + " ".join(str(values.get(column, 0)) for column in columns)
                         for one, values in series.items())
        heights = [value for values in series.values() for value in values.values() if value > 0] or [1]
        # From milliseconds to seconds: only a logarithmic scale shows both.
        scale = (f"set logscale y\nset yrange [{min(heights) / 2}:*]\n" if max(heights) > 50 * min(heights)
                 else "set yrange [0:*]\n")
        settings = ("set style data histogram\nset style histogram clustered\nset style fill solid\n"
                    f"set ylabel '{title}'\nset key outside top center horizontal\nset grid y\n{scale}")
        plots = ", ".join(f"$data using {at + 2}:xtic(1) linecolor rgb '{COLOURS[at % len(COLOURS)]}' title '{column}'"
                          for at, column in enumerate(columns))
        return name, f"$data << END\n{data}\nEND\n{settings}{self.outputs(name, 'plot ' + plots)}"

    def line_plot(self, name):
        x_title, y_title, series = self.lines[name]
        blocks = "".join(f"$line{at} << END\n" + "\n".join(f"{x} {y}" for x, y in points) + "\nEND\n"
                         for at, points in enumerate(series.values()))
        settings = (f"set xlabel '{x_title}'\nset ylabel '{y_title}'\nset logscale x\nset grid\nset key top left\n"
                    "set yrange [0:*]\n")
        style = "with linespoints linewidth 2 linecolor rgb"
        plots = ", ".join(f"$line{at} {style} '{COLOURS[at % len(COLOURS)]}' title '{one}'"
                          for at, one in enumerate(series))
        return name, f"{blocks}{settings}{self.outputs(name, 'plot ' + plots)}"
