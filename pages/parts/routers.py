"""The kinds of router in a reader's words."""

NAMES = {
    "ladder": "Personal router (ladder)",
    "gat": "Network (GAT)",
    "user_bradley_terry": "Bradley-Terry per user",
    "user_task_best": "Win rates per user and task",
    "matrix_factorization": "Matrix factorisation",
    "logistic_per_user": "Logistic regression per user",
    "task_bradley_terry": "One ranking per task",
    "user_knn": "The user's similar queries",
    "knn": "Everyone's similar queries",
    "best_llm": "Best single LLM",
    "bradley_terry": "One ranking for all",
    "uniform": "Random",
}


def name_of(kind: str) -> str:
    """The words for a kind of router; its own name where there are none."""
    return NAMES.get(kind, kind)
