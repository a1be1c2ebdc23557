"""What matplotlib draws comes back as the official SDK's chart objects, with the numbers that were drawn."""

import base64

from daytona import ChartType


def charts(box, code):
    answer = box.process.code_run("import matplotlib.pyplot as plt\n" + code)
    assert (answer.exit_code, answer.result) == (0, ""), answer.result
    for chart in answer.artifacts.charts:
        assert base64.b64decode(chart.png).startswith(b"\x89PNG")
    return answer.artifacts.charts


def numbers(element, *names):
    return {name: getattr(element, name) for name in names}


def test_line(toolbox):
    code = "plt.plot([1, 2], [3, 4], label='one'); plt.title('T'); plt.xlabel('X'); plt.ylabel('Y')\n"
    (chart,) = charts(toolbox, code + "plt.xticks([1, 2], ['a', 'b']); plt.yscale('log'); plt.show()")
    assert (chart.type, chart.title, chart.x_label, chart.y_label) == (ChartType.LINE, "T", "X", "Y")
    assert (chart.x_ticks, chart.x_tick_labels, chart.x_scale, chart.y_scale) == ([1, 2], ["a", "b"], "linear", "log")
    assert len(chart.y_ticks) == len(chart.y_tick_labels) > 0
    (line,) = chart.elements
    assert (line.label, line.points) == ("one", [[1, 3], [2, 4]])


def test_scatter(toolbox):
    (chart,) = charts(toolbox, "plt.scatter([1, 2], [3, 4], label='dots'); plt.show()")
    assert chart.type == ChartType.SCATTER
    assert [(cloud.label, cloud.points) for cloud in chart.elements] == [("dots", [[1, 3], [2, 4]])]


def test_bar(toolbox):
    (chart,) = charts(toolbox, "plt.bar(['a', 'b'], [1.5, 1234567], label='g'); plt.show()")
    assert chart.type == ChartType.BAR
    assert [(bar.label, bar.group, bar.value) for bar in chart.elements] == [("a", "g", "1.5"), ("b", "g", "1234567")]


def test_pie(toolbox):
    (chart,) = charts(toolbox, "plt.pie([1, 3], labels=['p', 'q'], radius=2); plt.show()")
    assert chart.type == ChartType.PIE
    assert [(part.label, part.angle, part.radius) for part in chart.elements] == [("p", 90, 2), ("q", 270, 2)]


def test_box_and_whisker(toolbox):
    (chart,) = charts(toolbox, "plt.boxplot([[1, 2, 3, 4, 100]]); plt.xticks([1], ['A']); plt.show()")
    assert chart.type == ChartType.BOX_AND_WHISKER
    (box,) = chart.elements
    assert (box.label, box.outliers) == ("A", [100])
    expected = {"min": 1, "first_quartile": 2, "median": 3, "third_quartile": 4, "max": 4}
    assert numbers(box, *expected) == expected


def test_composite(toolbox):
    code = "figure, (left, right) = plt.subplots(1, 2); left.plot([1], [1]); right.bar(['z'], [1])\n"
    (chart,) = charts(toolbox, code + "right.set_title('R'); figure.suptitle('Two'); plt.show()")
    assert (chart.type, chart.title) == (ChartType.COMPOSITE_CHART, "Two")
    assert [part.type for part in chart.elements] == ["line", "bar"]
    assert chart.elements[1].title == "R"
    assert all(base64.b64decode(part.png).startswith(b"\x89PNG") for part in chart.elements)


def test_several_figures_and_none(toolbox):
    assert [chart.title for chart in charts(toolbox, "for n in '12': plt.figure(); plt.title(n)\nplt.show()")] == ["1", "2"]
    assert charts(toolbox, "plt.plot([1])") == []


def test_a_program_that_fails_keeps_what_it_drew(toolbox):
    answer = toolbox.process.code_run("import matplotlib.pyplot as plt\nplt.plot([1]); plt.show(); raise ValueError('x')")
    assert answer.exit_code == 1 and answer.result.endswith("ValueError: x\n")
    assert len(answer.artifacts.charts) == 1
