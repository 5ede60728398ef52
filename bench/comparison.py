# SPDX-License-Identifier: Apache-2.0
"""What compare.py has found, as tables and as pictures."""
import shutil
import statistics
import subprocess

from report import in_columns, in_markdown, machine, ratios, spread

COLUMNS = ["", "M records/s", "worst-best", "x yarder's", "worst-best", "CPU s/M", "x yarder's",
           "worst-best", "with sender", "peak Pss MiB", "lost", "twice", "torn"]
GNUPLOT_SECONDS = 30


def base_of(results, work):
    """The runs of the first yarder of a work: what its other rows are held against."""
    return next((runs for (name, subject), runs in results.items()
                 if name == work and subject.startswith("yarder")), None)


def row(subject, runs, base):
    rates = [run.rate / 1e6 for run in runs]
    cpu = [run.cpu_seconds_per_million for run in runs]
    both = [run.cpu_seconds_per_million_with_sender for run in runs]
    peak = max(run.peak_pss_bytes for run in runs)
    has_daemon = max(cpu) > 0
    return [subject, f"{statistics.median(rates):.2f}", spread(rates),
            *ratios(runs, base, "rate"),
            f"{statistics.median(cpu):.3f}" if has_daemon else "-",
            *ratios(runs, base, "cpu_seconds_per_million"), f"{statistics.median(both):.3f}",
            f"{peak / (1 << 20):.1f}" if has_daemon else "-",
            *(str(max(run.audit[what] for run in runs)) for what in ("missing", "twice", "torn"))]


def tables(results, says, markdown):
    """A table for each work. Lost, twice, torn and memory are the worst of all runs."""
    runs_count = len(next(iter(results.values()), []))
    parts = [f"{machine()}; medians of {runs_count} runs"]
    for work, what in says.items():
        base = base_of(results, work)
        rows = [COLUMNS, *(row(subject, runs, base) for (name, subject), runs in results.items()
                           if name == work)]
        title = f"### {work}: {what}\n" if markdown else f"{work}: {what}"
        parts.append(f"{title}\n{in_markdown(rows) if markdown else in_columns(rows)}")
    return "\n\n".join(parts)


SCRIPT = """\
set terminal svg size 900,420 font 'sans,12'
set output '{output}'
set title '{title}'
set style data histograms
set style histogram errorbars gap 2 lw 1
set style fill solid 0.8 border -1
set datafile missing '-'
set grid ytics
set yrange [0:*]
set key outside right
plot {plots}
"""


def draw(folder, results):
    """rate.svg and cpu.svg: a bar for each subject at each work, from worst to best."""
    if shutil.which("gnuplot") is None:
        print("no pictures: gnuplot is not installed")
        return
    folder.mkdir(parents=True, exist_ok=True)
    draw_figure(folder / "rate", results, lambda run: run.rate / 1e6,
                "million records a second: more is better")
    draw_figure(folder / "cpu", results, lambda run: run.cpu_seconds_per_million_with_sender,
                "CPU seconds for each million delivered, the sender too: less is better")


def draw_figure(path, results, figure, title):
    works = list(dict.fromkeys(work for work, _ in results))
    subjects = list(dict.fromkeys(subject for _, subject in results))
    lines = []
    for work in works:
        cells = [f'"{work}"']
        for subject in subjects:
            values = [figure(run) for run in results.get((work, subject), [])]
            cells += ([f"{value:.4f}" for value in (statistics.median(values), min(values),
                                                    max(values))] if values else ["-"] * 3)
        lines.append(" ".join(cells))
    data = path.with_suffix(".data")
    data.write_text("\n".join(lines) + "\n")
    plots = ", ".join(f"'{data}' using {2 + 3 * at}:{3 + 3 * at}:{4 + 3 * at}:xtic(1) "
                      f"title '{subject}'" for at, subject in enumerate(subjects))
    script = SCRIPT.format(output=path.with_suffix(".svg"), title=title, plots=plots)
    subprocess.run(["gnuplot"], input=script, text=True, check=True, timeout=GNUPLOT_SECONDS)
