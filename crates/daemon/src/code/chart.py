# Runs the program on descriptor 3 as __main__ and reports every figure it shows on descriptor 4, one JSON line each.


def _daytona_main():
    import json
    import math
    import os
    import sys

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

    def exactly(value):
        value = float(value)
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)

    def places(axis):
        """What stands at each mark of an axis."""
        labels = (label.get_text() for label in axis.get_ticklabels())
        return dict(zip((round(tick, 6) for tick in numbers(axis.get_ticklocs())), labels))

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
        for box, place, lies in getattr(axes, "_daytona_boxes", ()):
            shown = places(axes.yaxis if lies else axes.xaxis)
            found.append({
                "label": shown.get(round(place, 6)) or str(box.get("label") or exactly(place)),
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
            shown = places(axes.yaxis if lying else axes.xaxis)
            for patch in container.patches:
                if lying:
                    middle, value = patch.get_y() + patch.get_height() / 2, patch.get_width()
                else:
                    middle, value = patch.get_x() + patch.get_width() / 2, patch.get_height()
                label = shown.get(round(float(middle), 6)) or exactly(middle)
                found.append({"label": label, "group": name(container, index), "value": exactly(value)})
        return found

    def clouds(axes):
        from matplotlib.collections import PathCollection

        found = [collection for collection in axes.collections if isinstance(collection, PathCollection)]
        return [{"label": name(cloud, index), "points": points(cloud.get_offsets())} for index, cloud in enumerate(found)]

    def lines(axes):
        from matplotlib.container import ErrorbarContainer, StemContainer

        labelled, extras = {}, set()
        for container in axes.containers:
            if isinstance(container, ErrorbarContainer):
                labelled[container.lines[0]] = container
                extras.update(container.lines[1])
            elif isinstance(container, StemContainer):
                labelled[container.markerline] = container
                extras.add(container.baseline)
        # Lines across the whole chart, such as those of axhline, have no points of their own.
        drawn = [line for line in axes.lines if line.get_transform().contains_branch(axes.transData)]
        drawn = [line for line in drawn if line not in extras]
        return [
            {"label": name(labelled.get(line, line), index), "points": points(line.get_xydata())}
            for index, line in enumerate(drawn)
        ]

    def axes_chart(axes):
        kinds = (("box_and_whisker", boxes), ("pie", slices), ("bar", bars), ("scatter", clouds), ("line", lines))
        for kind, read in kinds:
            # What is drawn in three dimensions is on the axes as it was projected.
            elements = read(axes) if axes.name != "3d" else []
            if elements:
                return {"type": kind, **axis_fields(axes), "elements": elements}
        return {"type": "unknown", **axis_fields(axes), "elements": []}

    def picture(figure, area=None):
        import base64
        import io

        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", bbox_inches=area)
        return base64.b64encode(buffer.getvalue()).decode("ascii")

    def picture_of(axes):
        if not hasattr(axes.figure.canvas, "get_renderer"):
            # The program has chosen a way to draw that knows no pixels.
            return None
        box = axes.get_tightbbox(axes.figure.canvas.get_renderer())
        return picture(axes.figure, box.transformed(axes.figure.dpi_scale_trans.inverted()))

    def figure_chart(figure):
        # First, because drawing is what decides where marks are and what stands there.
        whole = picture(figure)
        # The scale of colours beside a chart is no chart.
        shown = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
        charts = [axes_chart(axes) for axes in shown]
        if len(charts) == 1:
            chart = charts[0]
        else:
            for part, axes in zip(charts, shown):
                part["png"] = picture_of(axes)
            heading = getattr(figure, "_suptitle", None)
            title = heading.get_text() if heading is not None else ""
            chart = {"type": "composite_chart" if charts else "unknown", "title": title, "elements": charts}
        chart["png"] = whole
        return chart

    def watch_matplotlib():
        import matplotlib
        import matplotlib.pyplot as pyplot
        from matplotlib.axes import Axes
        from matplotlib.figure import Figure

        draw_boxes = Axes.bxp

        def remember_boxes(self, bxpstats, *arguments, **options):
            bxpstats = list(bxpstats)
            at = arguments[0] if arguments else options.get("positions")
            at = range(1, len(bxpstats) + 1) if at is None else at
            lies = options.get("orientation") == "horizontal" or options.get("vert") in (False, 0)
            boxes = [(box, float(place), lies) for box, place in zip(bxpstats, at)]
            self._daytona_boxes = [*getattr(self, "_daytona_boxes", ()), *boxes]
            return draw_boxes(self, bxpstats, *arguments, **options)

        def show_one(figure, *arguments, **options):
            try:
                line = json.dumps(figure_chart(figure), allow_nan=False)
            except Exception as error:
                print(f"a figure could not be reported: {error}", file=sys.stderr)
            else:
                sink.write(line + "\n")
                sink.flush()
            pyplot.close(figure)

        def show(*arguments, **options):
            for figure_number in pyplot.get_fignums():
                show_one(pyplot.figure(figure_number))

        Axes.bxp = remember_boxes
        Figure.show = show_one
        pyplot.show = show
        matplotlib.use("agg")

    def report(kind, error, trace):
        # The frames of this text come before the program's own, and tell its author nothing.
        while trace is not None and trace.tb_frame.f_code.co_filename == "<string>":
            trace = trace.tb_next
        sys.__excepthook__(kind, error.with_traceback(trace), trace)

    sys.excepthook = report
    try:
        watch_matplotlib()
    except ImportError:
        # The program's own import will say so, with a traceback that points at its line.
        pass
    sys.argv[0] = "-"
    return compile(text, "<stdin>", "exec")


_daytona_code = _daytona_main()
del _daytona_main
exec(_daytona_code)
