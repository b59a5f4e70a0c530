"""The card of a training run: where it is, its loss curve, how to stop it, and what it measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from core.domain import content_hash
from db.run_log import tail
from db.runs import Run
from pages.parts.charts import height_of, loss_chart, standing_chart
from pages.parts.clock import viewer_zone
from pages.parts.context import context
from pages.parts.drawing import show_chart
from pages.parts.errors import callback
from pages.parts.routers import name_of
from pages.parts.separable import show_separable

WHILE_RUNNING, AT_THE_END = 8, 200  # lines of the log
STATUS = {
    "queued": "Waiting for a worker",
    "running": "Running",
    "done": "Done",
    "failed": "Failed",
    "cancelled": "Cancelled",
    "interrupted": "Interrupted: its worker died",
}


@callback
def cancel(run: int, by: str) -> None:
    """Ask the worker to stop; it does within one epoch."""
    context().runs.cancel(run, by)


def show_active_run(run: Run, person: str) -> None:
    """A run that is queued or running, with its progress and its way out."""
    asked = " · stopping" if run.cancel_requested else ""
    st.markdown(f"**Run {run.id}** · {STATUS[run.status]}{asked}")
    share = min(run.step / run.steps, 1.0) if run.steps else 0.0
    st.progress(
        share, text=f"{run.stage.capitalize() or 'Starting'} {run.step} of {run.steps}" if run.steps else "Starting"
    )
    show_curve(run)
    show_log(run, WHILE_RUNNING)
    st.button(
        "Cancel", key=f"training.cancel.{run.id}", on_click=cancel, args=(run.id, person), disabled=run.cancel_requested
    )


def show_curve(run: Run) -> None:
    """The loss curve so far, if there is one."""
    curve = context().runs.curve(run.id)
    if len(curve):
        losses = pd.DataFrame(
            [(c.step, c.train, c.validation) for c in curve], columns=["epoch", "train_loss", "validation_loss"]
        )
        show_chart(loss_chart(losses), losses, f"training.loss_{run.id}", alt_text="Loss by epoch")


def show_ended_run(run: Run) -> None:
    """A run that has ended: why, or what it measured."""
    st.markdown(f"**Run {run.id}** · {STATUS[run.status]}")
    if run.error:
        st.error(run.error)
    if run.report:
        show_report(run.report)
    show_curve(run)
    with st.expander("Log"):
        show_log(run, AT_THE_END)


def show_log(run: Run, most: int) -> None:
    """What the worker said last, newest at the end."""
    lines, zone = tail(context().database, run.id, most), viewer_zone()
    if lines:
        st.code("\n".join(f"{line.at.astimezone(zone):%H:%M:%S}  {line.text}" for line in lines), language=None)
    else:
        st.caption("The worker has said nothing.")


def show_report(report: Mapping[str, Any]) -> None:
    """What came of the training: does it serve, every router on the same held-out ratings, and whether personal
    routing is better.
    """
    if version := report.get("router_version"):
        if report.get("in_service"):
            st.success(f"Version {version} is in service.")
        elif report.get("refused"):
            st.warning(f"Version {version} is published and does not serve. {report['refused']}")
    gain = report["standings"][0]["gain"]
    show_separable(gain)
    _show_standings(report["standings"], "Accuracy of each router on held-out ratings")
    st.caption(
        f"{report['ratings']['test']:,} held-out ratings of {gain['users']:,} users, split by query; "
        "95 % intervals by bootstrap over users. "
        f"Log-loss gain over one ranking for all: {gain['value']:.3f} ({gain['low']:.3f} to {gain['high']:.3f})."
    )
    trained = report["standings"][0]
    if "user_accuracy" in trained:  # cards from before this was kept have none
        accuracy, loss = trained["user_accuracy"], trained["user_log_loss"]
        st.caption(
            f"Each user counting once, however much they rated: right about {accuracy['value']:.1%} "
            f"({accuracy['low']:.1%} to {accuracy['high']:.1%}), log-loss {loss['value']:.3f} "
            f"({loss['low']:.3f} to {loss['high']:.3f}), {loss['users']:,} users."
        )
    if report.get("gains"):
        with st.expander("How much better than each baseline, on the same ratings"):
            _show_gains(report["gains"])
    for group in report.get("groups", ()):
        with st.expander(f"Only users with {group['name']}"):
            _show_standings(group["standings"], f"Accuracy for users with {group['name']}")
            st.caption(f"{group['ratings']:,} held-out ratings of {group['users']:,} users; 95 % intervals over users.")


def _show_standings(standings: Sequence[Mapping[str, Any]], alt: str) -> None:
    rows = [
        {"router": name_of(s["router"]), "accuracy": s["accuracy"]["value"], "low": s["accuracy"]["low"],
         "high": s["accuracy"]["high"]}
        for s in standings
    ]  # fmt: skip
    show_chart(
        standing_chart(pd.DataFrame(rows)), pd.DataFrame(rows), f"training.standings.{content_hash(alt)[:8]}",
        alt_text=alt, height=height_of(len(rows)),
    )  # fmt: skip


def _show_gains(gains: Mapping[str, Mapping[str, float]]) -> None:
    rows = [
        {"baseline": name_of(kind), "log-loss gain": gain["value"], "95 % from": gain["low"], "95 % to": gain["high"],
         "reading": "better" if gain["low"] > 0 else "worse" if gain["high"] < 0 else "not separable"}
        for kind, gain in gains.items()
    ]  # fmt: skip
    figures = {name: st.column_config.NumberColumn(format="%.3f") for name in ("log-loss gain", "95 % from", "95 % to")}
    st.dataframe(pd.DataFrame(rows), hide_index=True, column_config=figures)
    st.caption("Positive: this router predicts better. Paired bootstrap over users.")
