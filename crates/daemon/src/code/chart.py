# Runs the program on descriptor 3 as __main__ and reports every figure it shows on descriptor 4, one JSON line each.
import sys as _sys


def _daytona_main():
    import json
    import math
    import os

    with os.fdopen(3, "rb") as source:
        text = source.read()
    # Must not reach the program's own children.
    os.set_inheritable(4, False)
    sink = os.fdopen(4, "w", encoding="utf-8", errors="replace")
    os.environ.setdefault("MPLBACKEND", "agg")

    def number(value):
        try:
            value = float(value)
        except (TypeError, ValueError):
            return None
        return value if math.isfinite(value) else None

    def numbers(values):
        return [value for value in map(number, values) if value is not None]

    def points(pairs):
        rows = ((number(x), number(y)) for x, y in pairs)
        return [[x, y] for x, y in rows if x is not None and y is not None]

    def axis_fields(axes):
        return {
            "title": axes.get_title(),
            "x_label": axes.get_xlabel(),
            "y_label": axes.get_ylabel(),
            "x_ticks": numbers(axes.get_xticks()),
            "y_ticks": numbers(axes.get_yticks()),
            "x_tick_labels": [label.get_text() for label in axes.get_xticklabels()],
            "y_tick_labels": [label.get_text() for label in axes.get_yticklabels()],
            "x_scale": axes.get_xscale(),
            "y_scale": axes.get_yscale(),
        }

    def name(artist, index):
        label = str(artist.get_label() or "")
        return f"Element {index}" if label.startswith("_") or not label else label

    def boxes(axes):
        found = []
        for index, box in enumerate(getattr(axes, "_daytona_boxes", ())):
            found.append({
                "label": str(box.get("label") or index + 1),
                "min": number(box.get("whislo")),
                "first_quartile": number(box.get("q1")),
                "median": number(box.get("med")),
                "third_quartile": number(box.get("q3")),
                "max": number(box.get("whishi")),
                "outliers": numbers(box.get("fliers", ())),
            })
        return found

    def slices(axes):
        from matplotlib.patches import Wedge

        wedges = [patch for patch in axes.patches if isinstance(patch, Wedge)]
        return [
            {"label": name(wedge, index), "angle": number(abs(wedge.theta2 - wedge.theta1)), "radius": number(wedge.r)}
            for index, wedge in enumerate(wedges)
        ]

    def bars(axes):
        from matplotlib.container import BarContainer

        found = []
        containers = [container for container in axes.containers if isinstance(container, BarContainer)]
        for index, container in enumerate(containers):
            lying = getattr(container, "orientation", "vertical") == "horizontal"
            axis = axes.yaxis if lying else axes.xaxis
            places = dict(zip(
                (round(tick, 6) for tick in numbers(axis.get_ticklocs())),
                (label.get_text() for label in axis.get_ticklabels()),
            ))
            for patch in container.patches:
                if lying:
                    middle, value = patch.get_y() + patch.get_height() / 2, patch.get_width()
                else:
                    middle, value = patch.get_x() + patch.get_width() / 2, patch.get_height()
                label = places.get(round(float(middle), 6)) or f"{float(middle):g}"
                found.append({"label": label, "group": name(container, index), "value": f"{float(value):g}"})
        return found

    def clouds(axes):
        from matplotlib.collections import PathCollection

        found = [collection for collection in axes.collections if isinstance(collection, PathCollection)]
        return [{"label": name(cloud, index), "points": points(cloud.get_offsets())} for index, cloud in enumerate(found)]

    def lines(axes):
        return [
            {"label": name(line, index), "points": points(line.get_xydata())}
            for index, line in enumerate(axes.lines)
        ]

    def axes_chart(axes):
        kinds = (("box_and_whisker", boxes), ("pie", slices), ("bar", bars), ("scatter", clouds), ("line", lines))
        for kind, read in kinds:
            elements = read(axes)
            if elements:
                return {"type": kind, **axis_fields(axes), "elements": elements}
        return {"type": "unknown", **axis_fields(axes), "elements": []}

    def figure_chart(figure):
        import base64
        import io

        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        charts = [axes_chart(axes) for axes in figure.axes]
        if len(charts) == 1:
            chart = charts[0]
        else:
            heading = getattr(figure, "_suptitle", None)
            title = heading.get_text() if heading is not None else ""
            chart = {"type": "composite_chart" if charts else "unknown", "title": title, "elements": charts}
        chart["png"] = base64.b64encode(buffer.getvalue()).decode("ascii")
        return chart

    def watch_matplotlib():
        import matplotlib
        import matplotlib.pyplot as pyplot
        from matplotlib.axes import Axes

        draw_boxes = Axes.bxp

        def remember_boxes(self, bxpstats, *arguments, **options):
            bxpstats = list(bxpstats)
            self._daytona_boxes = [*getattr(self, "_daytona_boxes", ()), *bxpstats]
            return draw_boxes(self, bxpstats, *arguments, **options)

        def show(*arguments, **options):
            for figure_number in pyplot.get_fignums():
                figure = pyplot.figure(figure_number)
                try:
                    line = json.dumps(figure_chart(figure), allow_nan=False)
                except Exception as error:
                    print(f"a figure could not be reported: {error}", file=_sys.stderr)
                else:
                    sink.write(line + "\n")
                    sink.flush()
                pyplot.close(figure)

        Axes.bxp = remember_boxes
        pyplot.show = show
        matplotlib.use("agg")

    try:
        watch_matplotlib()
    except ImportError:
        # The program's own import will say so, with a traceback that points at its line.
        pass
    _sys.argv[0] = "-"
    return compile(text, "<stdin>", "exec")


_daytona_code = _daytona_main()
del _daytona_main, _sys
exec(_daytona_code)
