"""Rating quality: who rates how, whose ratings should count, where people disagree, and pairs with a known answer."""

import pandas as pd
import streamlit as st

from core.domain import UserId
from core.quality import BOUNDS_FDR, BOUNDS_MINIMUM, FALSE_DISCOVERIES, MINIMUM, Judged, Part, clamped, judged
from pages.parts.clock import viewer_zone
from pages.parts.context import context, require
from pages.parts.flags import show_flags
from pages.parts.known import known, of_now
from pages.parts.measures import show_measures, show_timeline
from pages.parts.verdicts import show_disagreements, show_gold

CHOSEN = "quality.person"

person = require("analyst")


@st.cache_data(show_spinner=False, max_entries=4)
def tested(url: str, revision: str, minimum: int, rate: float) -> list[Judged]:
    """Everyone with their tests, those with flags first."""
    found = judged(known(url, revision).raters, minimum, rate)
    return sorted(found, key=lambda one: (not one.flags, -one.rater.ratings))


def show_thresholds() -> tuple[int, float]:
    """How much somebody must have said to be tested, and how many flags may be wrong."""
    left, right = st.columns(2)
    minimum = left.number_input(
        "Ratings needed to be tested", value=MINIMUM, step=5, key="quality.minimum",
        help="Below this nobody is flagged: a flag would say more about chance than about the person.",
    )  # fmt: skip
    rate = right.number_input(
        "Share of flags that may be wrong", value=FALSE_DISCOVERIES, step=0.01, format="%.3f", key="quality.rate",
        help="Benjamini and Hochberg's rule over all tests of everyone in this table.",
    )  # fmt: skip
    least, too_few = clamped(float(minimum), BOUNDS_MINIMUM, "The number of ratings")
    most, too_many = clamped(float(rate), BOUNDS_FDR, "The share")
    for message in filter(None, (too_few, too_many)):
        st.warning(message)
    return int(least), most


def percent(part: Part) -> str:
    """A share with its n; how much is missing where that is little."""
    return f"{part.times / part.n:.0%} of {part.n:,}" if part.n else ""


def line(one: Judged, standing: dict[UserId, str], minimum: int) -> dict[str, object]:
    """A row of the table."""
    rater = one.rater
    asked = rater.ratings + rater.too_quick
    return {
        "Person": f"{rater.user} (simulated)" if rater.simulated else rater.user,
        "Counts": standing.get(rater.user, ""),
        "Flags": ", ".join(one.flags) if one.flags else "" if rater.ratings >= minimum
        else f"not enough data ({rater.ratings} of {minimum})",
        "Ratings": rater.ratings,
        "Seconds": rater.seconds,
        "Too quick": percent(Part(rater.too_quick, asked)) if rater.too_quick else "",
        "Gold right": percent(rater.gold),
        "Same again": percent(rater.repeats),
        "Left": percent(rater.left),
        "p left": one.left_p,
        "Longer": percent(rater.longer),
        "Agreement": rater.agreement,
        "Shared": rater.overlap or None,
        "p unlike others": one.anomaly_p,
        "Last seen": rater.last_seen,
    }  # fmt: skip


def show_table(found: list[Judged], standing: dict[UserId, str], minimum: int) -> Judged | None:
    """Everyone; the one who is chosen, by row or by name."""
    names = [one.rater.user for one in found]
    st.dataframe(
        pd.DataFrame([line(one, standing, minimum) for one in found]),
        hide_index=True, key="quality.raters", selection_mode="single-row", on_select=lambda: choose_row(names),
        alt="Everyone who rated, and how", placeholder="",
        column_config={
            "Seconds": st.column_config.NumberColumn(format="%.0f", help="Median time for one rating."),
            "Same again": st.column_config.TextColumn(help="The same answer when a pair came back with swapped sides."),
            "p left": st.column_config.NumberColumn(format="%.2g", help="Exact binomial test against one half."),
            "Agreement": st.column_config.NumberColumn(
                format="%.2f", help="Krippendorff's alpha with the others on the same pairs: 1 perfect, 0 chance."
            ),
            "p unlike others": st.column_config.NumberColumn(
                format="%.2g", help="Fisher's method over how rare each answer is among everybody's about the two LLMs."
            ),
            "Last seen": st.column_config.DatetimeColumn(format="D MMM YYYY, HH:mm", timezone=str(viewer_zone())),
        },
    )  # fmt: skip
    if st.session_state.get(CHOSEN) not in names:  # erased meanwhile
        st.session_state[CHOSEN] = None
    chosen = st.selectbox("Person", names, None, key=CHOSEN, placeholder="Choose one, or select a row", width=420)
    return found[names.index(chosen)] if chosen else None


def choose_row(names: list[UserId]) -> None:
    """The person whose row was selected; nobody where it was deselected."""
    rows = st.session_state["quality.raters"]["selection"]["rows"]
    st.session_state[CHOSEN] = names[rows[0]] if rows and rows[0] < len(names) else None


st.title("Rating quality")
url, revision = of_now()
everyone = known(url, revision)
if not everyone.raters:
    st.info("Quality needs repeats and overlap; 0 ratings so far.")
    st.page_link("pages/manage/settings.py", label="Campaign settings: gold, repeats, overlap")
    show_flags(person.name)  # who only flags has rated nothing
    st.stop()

standing = {
    taken.user: f"{taken.kind.replace('_', '-')}{f' to {taken.weight:.0%}' if taken.kind == 'down_weight' else ''}"
    for taken in context().measures.all()
    if taken.lifted_at is None
}
minimum, rate = show_thresholds()
found = tested(url, revision, minimum, rate)
flagged = sum(bool(one.flags) for one in found)
chosen = show_table(found, standing, minimum)
st.caption(
    f"{len(found):,} people, {flagged} flagged, those first. Each test is corrected for testing many people (at most "
    f"{rate:.1%} of the flags wrong, on average). A flag is a reason to look: an unusual taste shows as well as "
    "carelessness."
)
overlap = everyone.overlap
if overlap.alpha is None:
    st.caption(f"Agreement needs pairs rated by several people; {overlap.units:,} so far.")
else:
    st.caption(f"Krippendorff's alpha over {overlap.units:,} pairs that several people rated: {overlap.alpha:.2f}.")
if chosen:
    show_timeline(chosen)
    show_measures(UserId(chosen.rater.user), person.name)
show_flags(person.name)
show_disagreements(person.name)
show_gold(person.name)
