"""What stands on the learned map: one row a point, with the names that the person looking may see."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from core.domain import Query, UserId, content_hash
from core.layout import KINDS, Layout
from core.survey import Survey
from pages.parts.colours import QUIET, colours

TOP, TASK, GROUP, SORT = "LLM they get most", "Task of the query", "Group of like taste", "Person or simulated"
COLOURINGS = (TOP, TASK, GROUP, SORT)
KIND_NAMES = dict(zip(KINDS, ("Person", "Query", "LLM"), strict=True))
SIMULATED = " (simulated)"
NO_TASK, NEITHER = "without a task", "others"
WORDS = 110


def shown_names(
    users: Sequence[UserId], viewer: UserId, simulated: Mapping[UserId, bool], *, all_names: bool
) -> list[str]:
    """What each person is called to the one who looks: analysts see names, a rater sees themselves and numbers that
    tell nothing of a name.
    """
    order = sorted(users, key=lambda user: content_hash("map", user))
    number = {user: i + 1 for i, user in enumerate(order)}
    names = []
    for user in users:
        if user == viewer:
            names.append(f"{user} (you)")
        elif all_names:
            names.append(f"{user}{SIMULATED}" if simulated.get(user) else user)
        else:
            names.append(f"{'Simulated user' if simulated.get(user) else 'Person'} {number[user]}")
    return names


def one_line(query: Query) -> str:
    """The last turn of a query, short enough for a table."""
    words = " ".join(query.turns[-1].split())
    return words if len(words) <= WORDS else f"{words[: WORDS - 1]}…"


def point_table(
    survey: Survey,
    people: Sequence[str],
    llm_names: Mapping[str, str],
    simulated: Mapping[UserId, bool],
    colouring: str,
    layout: Layout,
) -> tuple[pd.DataFrame, dict[str, str]]:
    """A row a point of a layout of the survey (`id`, `kind`, `row`, `name`, `x`, `y`, `group`, `ratings`, `size`,
    `label`), and each group's colour.
    """
    llms = [llm_names.get(llm, llm) for llm in survey.llms]
    groups, colour = _grouping(survey, llms, llm_names, simulated, colouring)
    names = (list(people), [one_line(query) for query in survey.mapped], llms)
    ratings = (survey.ratings, np.zeros(len(survey.mapped), int), np.zeros(len(llms), int))
    most = max(int(survey.ratings.max(initial=1)), 1)
    rows = []
    for k, row, (x, y) in zip(layout.kind, layout.row, layout.place, strict=True):
        n = int(ratings[k][row])
        size = float(np.sqrt(n / most)) if k == 0 else (0.05 if k == 1 else 1.0)
        kind = KIND_NAMES[KINDS[k]]
        rows.append((
            f"{kind}-{row}", kind, int(row), names[k][row], float(x), float(y), groups[k][row], n, size,
            llms[row] if k == 2 else "",
        ))  # fmt: skip
    columns = ["id", "kind", "row", "name", "x", "y", "group", "ratings", "size", "label"]
    return pd.DataFrame(rows, columns=columns), colour


def text_table(queries: Sequence[Query], layout: Layout) -> tuple[pd.DataFrame, dict[str, str]]:
    """The same for queries by their words alone, coloured by task."""
    task = [query.task or NO_TASK for query in queries]
    rows = [
        (f"Query-{row}", "Query", int(row), one_line(queries[row]), float(x), float(y), task[row], 0, 0.2, "")
        for row, (x, y) in zip(layout.row, layout.place, strict=True)
    ]
    columns = ["id", "kind", "row", "name", "x", "y", "group", "ratings", "size", "label"]
    return pd.DataFrame(rows, columns=columns), colours(sorted(set(task)))


def _grouping(
    survey: Survey, llms: list[str], llm_names: Mapping[str, str], simulated: Mapping[UserId, bool], colouring: str
) -> tuple[tuple[list[str], list[str], list[str]], dict[str, str]]:
    """Each point's group by kind, and the colours of the groups."""
    users, queries = len(survey.users), survey.mapped
    quiet = [NEITHER] * len(llms)
    if colouring == TOP:
        everywhere = colours(list(llm_names.values()))  # by the place in the database and not in the router
        own = {llm: everywhere.get(llm, QUIET) for llm in llms}
        return ([llms[i] for i in survey.top()], [llms[i] for i in survey.usual], llms), own
    if colouring == TASK:
        tasks = sorted({query.task or NO_TASK for query in queries})
        return (
            ([NEITHER] * users, [query.task or NO_TASK for query in queries], quiet),
            colours(tasks) | {NEITHER: QUIET},
        )
    if colouring == GROUP:
        size = np.bincount(survey.groups)
        called = [f"Group {i + 1} (n {n:,})" for i, n in enumerate(size)]
        return ([called[i] for i in survey.groups], [NEITHER] * len(queries), quiet), colours(called) | {NEITHER: QUIET}
    sort = ["Simulated user" if simulated.get(user) else "Person" for user in survey.users]
    return (sort, [NEITHER] * len(queries), quiet), colours(["Person", "Simulated user"]) | {NEITHER: QUIET}
