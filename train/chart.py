"""The results of compare.py as a picture and as one page that needs nothing else."""

import base64
import html

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

INK, SOFT, COLOURS = "#1d2433", "#667085", ["#98a2b3", "#2f6fde", "#2c8a57", "#b7791f", "#c4372b", "#7a5af8"]


def draw(results, accuracy, table, out):
    """Write out/compare.png and out/compare.html."""
    colour = dict(zip(results, COLOURS))
    with plt.rc_context({"font.size": 9, "text.color": INK, "axes.edgecolor": SOFT, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
        learning(axes[0], results, accuracy, colour)
        intervals(axes[1], results, colour)
        price(axes[2], results, colour)
        figure.savefig(out / "compare.png", dpi=110)
        plt.close(figure)
    picture = base64.b64encode((out / "compare.png").read_bytes()).decode()
    (out / "compare.html").write_text(page(table, picture))


def learning(axes, results, accuracy, colour):
    """Held-out top-1 by epoch: the mean of the seeds, and the seeds."""
    for kind, r in results.items():
        for curve in r["curves"]:
            axes.plot([int(e) for e in curve], [100 * v for v in curve.values()], color=colour[kind], alpha=0.2, linewidth=0.8)
        epochs = sorted(set.intersection(*(set(map(int, c)) for c in r["curves"])))
        mean = [100 * sum(c[str(e)] for c in r["curves"]) / len(r["curves"]) for e in epochs]
        axes.plot(epochs, mean, color=colour[kind], label=kind, linewidth=2)
    axes.axhline(100 * accuracy, color=SOFT, linestyle=":", linewidth=1)
    axes.set(title="how it learns", xlabel="epoch", ylabel="held-out top-1, %")
    axes.legend(frameon=False, fontsize=8)


def intervals(axes, results, colour):
    """Top-1 at the end with its 95 % interval over the seeds."""
    for i, (kind, r) in enumerate(results.items()):
        axes.errorbar(100 * r["top1"]["mean"], -i, xerr=100 * (r["top1"]["half"] or 0), fmt="o", color=colour[kind], capsize=3)
    axes.set_yticks([-i for i in range(len(results))], list(results))
    axes.set(title="where it ends, 95 % interval over seeds", xlabel="top-1, %")


def price(axes, results, colour):
    """What a picture costs, FP32 and INT8."""
    axes.set_title("ms for a picture, one thread (dark: INT8)")
    known = {k: r for k, r in results.items() if "costs" in r}
    for i, (kind, r) in enumerate(known.items()):
        axes.barh(-i, r["costs"]["fp32"]["p50_ms"], color=colour[kind], alpha=0.35, height=0.6)
        if "int8" in r["costs"]:
            axes.barh(-i, r["costs"]["int8"]["p50_ms"], color=colour[kind], height=0.6)
    axes.set_yticks([-i for i in range(len(known))], list(known))
    if not known:
        axes.set_axis_off()


def page(table, picture):
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in table.strip().splitlines()]
    cells = ["".join(f"<{tag}>{html.escape(c)}" for c in row) for tag, row in [("th", rows[0]), *(("td", r) for r in rows[2:])]]
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Which attention pays</title>
<style>body {{ font: 15px/1.5 system-ui, sans-serif; color: {INK}; background: #fbfaf7; max-width: 76rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }} th, td {{ text-align: right; padding: .4rem .8rem; white-space: nowrap }}
tr + tr td {{ border-top: 1px solid #e4e2dc }} th {{ color: {SOFT}; font-weight: 500 }} img {{ width: 100% }} .scroll {{ overflow-x: auto }}</style>
<h1>Which attention pays</h1>
<p>Means of the seeds; ± is half of the 95 % interval over them (Student's t).</p>
<div class="scroll"><table><tr>{"<tr>".join(cells)}</table></div>
<img alt="learning curves, accuracy and latency" src="data:image/png;base64,{picture}">
</html>
"""
