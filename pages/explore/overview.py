"""Overview: how much was rated and by whom, which router serves, and what needs attention."""

import streamlit as st

from core.attention import Facts, attention
from db.models import Role
from db.overview import ENOUGH, overview
from db.reports import training_readiness
from pages.parts.charts import daily_chart
from pages.parts.clock import shown
from pages.parts.context import context, require
from pages.parts.drawing import show_chart
from pages.parts.separable import grounds, reading

person = require("viewer")
st.title("Overview")
here, registry, runs = context(), context().registry, context().runs
runs.reap()
state, service, latest = overview(here.database), registry.active(), runs.latest(1)
counts, pairs = state.counts, len(state.pairs)
report = (latest[0].report or {}) if latest else {}
facts = Facts(
    ratings=counts.ratings, people=int(state.daily.loc[state.daily["kind"] == "people", "ratings"].sum()),
    llms=counts.llms, pairs=pairs, compared=state.compared, needs=training_readiness(here.database),
    service=service.card if service else None, run_status=latest[0].status.value if latest else None,
    run_error=latest[0].error if latest else None, refused=report.get("refused"),
)  # fmt: skip

if not counts.ratings:
    for sentence in attention(facts):
        st.info(sentence)
    st.page_link("pages/annotate/rate.py", label="Rate responses")
    st.stop()

figures = {
    "Ratings": (f"{counts.ratings:,}", f"on {counts.queries:,} queries"),
    "Users": (f"{counts.users:,}", f"{counts.simulated:,} of them simulated"),
    f"Active in {state.active.days} days": (f"{state.active.users:,}", f"{state.active.people:,} people"),
    "Pairs of LLMs compared": (f"{state.compared:,} of {pairs:,}", f"{state.enough:,} at least {ENOUGH} times"),
}
with st.container(horizontal=True):
    for name, (value, detail) in figures.items():
        st.metric(name, value, detail, delta_color="off", delta_arrow="off", border=True)

sentences = attention(facts)
st.subheader("Needs attention" if sentences else "Nothing needs attention")
for sentence in sentences:
    st.warning(sentence)

left, right = st.columns(2)
with left, st.container(border=True, height="stretch"):
    st.markdown("**Router in service**")
    if service:
        st.markdown(f"Version {service.id} · {service.kind}")
        since = registry.activations(1)[0]
        st.caption(f"Trained {shown(service.created_at)}; in service since {shown(since.at)}.")
    else:
        st.markdown("None: everyone gets one ranking for all.")
    st.page_link("pages/explore/routing.py", label="Who gets which LLM")
with right, st.container(border=True, height="stretch"):
    st.markdown("**Last training**")
    if latest:
        ended = latest[0].finished_at
        st.markdown(f"Run {latest[0].id}: {latest[0].status}")
        if ended:
            st.caption(f"Ended {shown(ended)}.")
        if standings := report.get("standings"):
            st.markdown(reading(standings[0]["gain"]))
            st.caption(grounds(report))
    else:
        st.markdown("None yet.")
    if person.role.includes(Role.ADMIN):
        st.page_link("pages/manage/training.py", label="Training and routers")

st.subheader("Ratings over time")
show_chart(
    daily_chart(state.daily), state.daily, "overview.daily",
    alt_text="Ratings per day, of people and of simulated users", height=240,
)  # fmt: skip
st.caption(f"{counts.ratings:,} ratings in force, by the day they were given (UTC) or, where unknown, came in.")
if state.compared < pairs or state.enough < pairs:
    st.subheader("Pairs of LLMs compared least")
    st.dataframe(state.pairs.head(10).rename(columns={"first": "LLM", "second": "against"}), hide_index=True)
