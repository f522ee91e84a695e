"""What is wrong is told, as far as anybody can read it."""

from __future__ import annotations

from app.graph.problems import GRAPH, MOST_CHARACTERS, MOST_PROBLEMS, Problems


def test_of_each_field_the_first_problem_is_told() -> None:
    problems = Problems()
    problems.add("n", "a", "first")
    problems.add("n", "a", "second")
    problems.add_to_graph("b", "third")

    assert problems.node_errors == {"n": {"a": "first"}, GRAPH: {"b": "third"}}


def test_very_many_problems_are_not_told_one_by_one() -> None:
    problems = Problems()
    for number in range(2 * MOST_PROBLEMS):
        problems.add(f"n{number}", "x" * 10_000, "wrong")

    assert len(problems.node_errors) == MOST_PROBLEMS + 1
    assert problems.node_errors["n0"] == {"x" * MOST_CHARACTERS: "wrong"}
    assert problems.node_errors[GRAPH].keys() == {"more"}
